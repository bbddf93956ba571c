// An SMSC for tests, told over stdin what to do and telling over stdout what it saw, one JSON object a line.
// It is npm's `smpp`, which nobody here wrote: what it reads is what another implementation understands.
"use strict";

const readline = require("node:readline");
const path = require("node:path");
const smpp = require(path.join(process.argv[2] || path.join(__dirname, "node_modules"), "smpp"));

// Kept as it came: this library would turn the relative form into a date.
delete smpp.commands.submit_sm.params.validity_period.filter;

const servers = new Map();
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

class Smsc {
  constructor(name, options) {
    this.name = name;
    this.prefix = options.prefix || "id-";
    this.count = 0;
    this.plans = [];
    this.bindStatus = 0;
    this.bindHangs = false;
    this.sessions = new Set();
    this.server = smpp.createServer(options.key ? { key: options.key, cert: options.cert } : {}, (session) => this.greet(session));
    this.server.on("tlsClientError", () => {});
    this.server.listen(options.port || 0, "127.0.0.1", () => this.tell("listening", { port: this.server.address().port }));
  }

  tell(event, what = {}) {
    say({ smsc: this.name, event, ...what });
  }

  greet(session) {
    session.on("error", () => {});
    session.on("close", () => {
      if (this.sessions.delete(session)) this.tell("gone");
    });
    session.on("bind_transceiver", (pdu) => this.bind(session, pdu));
    session.on("submit_sm", (pdu) => this.submit(session, pdu));
    session.on("enquire_link", (pdu) => {
      this.tell("enquire_link");
      if (!this.deaf) session.send(pdu.response());
    });
    session.on("unbind", (pdu) => {
      this.tell("unbind");
      session.send(pdu.response());
      session.close();
    });
    session.on("deliver_sm_resp", (pdu) => this.tell("answered", { number: pdu.sequence_number, status: pdu.command_status }));
    session.on("generic_nack", (pdu) => this.tell("nack", { status: pdu.command_status }));
  }

  bind(session, pdu) {
    const { system_id, password, system_type, interface_version } = pdu;
    this.tell("bind", { system_id, password, system_type, interface_version });
    if (this.bindHangs) return;
    if (!this.bindStatus) this.sessions.add(session);
    session.send(pdu.response({ system_id: "test", command_status: this.bindStatus }));
    if (this.bounces) session.close();
  }

  submit(session, pdu) {
    const { short_message, command, command_id, command_length, sequence_number, ...fields } = pdu;
    const udh = (short_message.udh || []).map((part) => part.toString("hex"));
    const plan = this.plans.shift() || { what: "accept" };
    const accepted = !["refuse", "hang", "drop", "nack"].includes(plan.what);
    const id = plan.id === undefined ? this.prefix + (this.count + 1) : plan.id;
    if (accepted) this.count += 1;
    this.tell("submit", { ...fields, sequence_number, message: short_message.message, udh, accepted, id });
    const yes = () => session.send(pdu.response({ message_id: id }));
    const acts = {
      accept: yes,
      refuse: () => session.send(pdu.response({ command_status: plan.status })),
      nack: () => session.send(new smpp.PDU("generic_nack", { sequence_number, command_status: plan.status })),
      hang: () => {},
      "hang-after": () => {},
      drop: () => session.destroy(),
      "drop-after": () => session.destroy(),
      late: () => setTimeout(yes, plan.ms),
      "receipt-first": () => this.deliver({ pdu: { ...plan.pdu, receipted_message_id: id } }, session, yes),
      // An answer that breaks off in its middle, and one that is none.
      "drop-mid": () => session.socket.write(pdu.response({ message_id: id }).toBuffer().subarray(0, 18), () => session.destroy()),
      garbage: () => session.socket.write(Buffer.from("ff".repeat(64), "hex")),
    };
    acts[plan.what]();
  }

  // Bytes come as hex, because JSON has none.
  deliver(order, session = [...this.sessions].at(-1), then = () => {}) {
    const options = { ...order.pdu };
    if (order.hex !== undefined) options.short_message = Buffer.from(order.hex, "hex");
    if (order.payload !== undefined) options.message_payload = Buffer.from(order.payload, "hex");
    if (order.udh) options.short_message = { udh: Buffer.from(order.udh, "hex"), message: options.short_message };
    session.deliver_sm(options, (answer) => this.tell("delivered", { tag: order.tag, status: answer.command_status, command: answer.command }));
    then();
  }

  close() {
    for (const session of this.sessions) session.destroy();
    this.server.close();
    this.tell("closed");
  }
}

const orders = {
  open: (order) => servers.set(order.smsc, new Smsc(order.smsc, order)),
  plan: (order, smsc) => smsc.plans.push(order),
  set: (order, smsc) => Object.assign(smsc, order.values),
  deliver: (order, smsc) => smsc.deliver(order),
  raw: (order, smsc) => [...smsc.sessions].at(-1).socket.write(Buffer.from(order.hex, "hex")),
  enquire: (order, smsc) => [...smsc.sessions].at(-1).enquire_link((answer) => smsc.tell("enquired", { status: answer.command_status })),
  unbind: (order, smsc) => [...smsc.sessions].at(-1).unbind((answer) => smsc.tell("unbound", { status: answer.command_status })),
  drop: (order, smsc) => smsc.sessions.forEach((session) => session.destroy()),
  close: (order, smsc) => smsc.close(),
  alphabet: (order) => (smpp.encodings.default = order.value),
  sync: (order) => say({ smsc: order.smsc, event: "synced" }),
};

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const order = JSON.parse(line);
    orders[order.do](order, servers.get(order.smsc));
  })
  .on("close", () => process.exit(0));
