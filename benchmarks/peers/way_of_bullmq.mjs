// BullMQ, a delayed job for each reminder, with its number and its text; added a hundred at a time.
//
//     PEER_SOCKET=/path node way_of_bullmq.mjs add COUNT | burst COUNT SECONDS [RATE] | work
//
// What ran writes how late it was into the file $PEER_LATE, 8 bytes each.
import { Queue, Worker } from "bullmq";
import { appendFileSync } from "node:fs";

const connection = { path: process.env.PEER_SOCKET, maxRetriesPerRequest: null };
const text = "Rappel : vous avez rendez-vous le mercredi 25 novembre à 09:15, 12 rue des Lilas, Lyon.";
const [mode, count = "0", seconds = "0", rate = "Infinity"] = process.argv.slice(2);

if (mode === "work") {
  new Worker("reminders", async (job) => {
    const late = Buffer.alloc(8);
    late.writeDoubleLE(Date.now() / 1000 - job.data.due);
    appendFileSync(process.env.PEER_LATE, late);
  }, { connection, concurrency: 50 });
} else {
  const queue = new Queue("reminders", { connection });
  await queue.waitUntilReady();
  const first = Date.now() / 1000 + Number(seconds);
  const began = process.hrtime.bigint(), cpu = process.cpuUsage();
  for (let start = 0; start < Number(count); start += 100) {
    const jobs = [];
    for (let number = start; number < Math.min(start + 100, Number(count)); number++) {
      const due = first + number / Number(rate);
      const delay = mode === "add" ? 30 * 86_400_000 : Math.max(0, due * 1000 - Date.now());
      const data = { phone: `+33612${String(number).padStart(6, "0")}`, text, due };
      jobs.push({ name: "remind", data, opts: { delay, removeOnComplete: true } });
    }
    await queue.addBulk(jobs);
  }
  const spent = process.cpuUsage(cpu);
  const took = Number(process.hrtime.bigint() - began) / 1e9;
  console.log(JSON.stringify({ seconds: took, cpu: (spent.user + spent.system) / 1e6, due: first }));
  await queue.close();
}
