// The patient's pages in three languages.
const WORDS = {
  en: {
    title: "Book an appointment",
    promise: "Your name, your reason and your number are sealed on this device before they are sent. Your practice opens the first two, the reminder service the third. We, who run this site, are given no key to any of them.",
    practice: "Practice",
    time: "Time",
    you: "You",
    name: "Name",
    reason: "Reason for your visit",
    number: "Mobile number, for the reminder",
    numberGoes: "The text goes to {number}",
    numberWrong: "A mobile number, such as {example}",
    leaves: "What leaves this device",
    sealedToPractice: "Name and reason: sealed to {practice}",
    sealedToWorker: "Number and language: sealed to the reminder service",
    key: "Key",
    keyHint: "To be compared with what the practice and the reminder service tell you.",
    clear: "In the clear: which practice, and when",
    clearHint: "We need it, so that nobody else gets the same time.",
    book: "Seal and book",
    sealing: "Sealing …",
    demo: "A demonstration: nobody is treated here, and no phone is texted. The reminder goes out about ten seconds after you book, whatever time you choose; in earnest it would be the day before.",
    taken: "Somebody was faster. Please choose another time.",
    failed: "That did not work. Please try again.",
    otherKey: "The reminder service's key is not the one that this page was delivered with. Nothing was sent.",
    long: "Name and reason are too long together.",
    forPractices: "For practices",
    watch: "Who sees what, live",
    yours: "Your appointment",
    keep: "This page's address is the only way to this appointment: keep it. What you wrote is sealed; this page cannot show it any more either.",
    lost: "There is no appointment at this address.",
    reminder: "Reminder",
    booked: "Booked, and handed to the reminder service",
    pending: "Being handed to the reminder service …",
    waiting: "The text goes out in some seconds",
    "reminder.sent": "Reminder sent, {time}",
    "reminder.delivered": "Reminder delivered, {time}",
    "reminder.failed": "The reminder could not be sent, {time}: is the number right?",
    "reminder.rejected": "The reminder could not be opened, {time}",
    "reminder.expired": "It was too late for a reminder, {time}",
    "reminder.suppressed": "This number wants no reminders, {time}",
    other: "{time}: {event}",
    cancelled: "Cancelled",
    cancelledTold: "Cancelled. The reminder service knows, and sends nothing more.",
    move: "Another time",
    moveTo: "Move",
    cancel: "Cancel the appointment",
    sure: "Press again to cancel",
    again: "Book another",
  },
  fr: {
    title: "Prendre rendez-vous",
    promise: "Votre nom, votre motif et votre numéro sont scellés sur cet appareil avant d’être envoyés. Votre cabinet ouvre les deux premiers, le service de rappel le troisième. Nous, qui exploitons ce site, n’en recevons aucune clé.",
    practice: "Cabinet",
    time: "Horaire",
    you: "Vous",
    name: "Nom",
    reason: "Motif de la consultation",
    number: "Numéro de portable, pour le rappel",
    numberGoes: "Le SMS part au {number}",
    numberWrong: "Un numéro de portable, par exemple {example}",
    leaves: "Ce qui quitte cet appareil",
    sealedToPractice: "Nom et motif : scellés pour {practice}",
    sealedToWorker: "Numéro et langue : scellés pour le service de rappel",
    key: "Clé",
    keyHint: "À comparer avec ce que vous disent le cabinet et le service de rappel.",
    clear: "En clair : quel cabinet, et quand",
    clearHint: "Il nous le faut, pour que personne d’autre n’ait le même horaire.",
    book: "Sceller et réserver",
    sealing: "Scellement …",
    demo: "Une démonstration : personne n’est soigné ici et aucun téléphone ne reçoit de SMS. Le rappel part une dizaine de secondes après la réservation, quel que soit l’horaire ; en vrai, ce serait la veille.",
    taken: "Quelqu’un a été plus rapide. Choisissez un autre horaire, s’il vous plaît.",
    failed: "Cela n’a pas marché. Réessayez, s’il vous plaît.",
    otherKey: "La clé du service de rappel n’est pas celle avec laquelle cette page a été livrée. Rien n’a été envoyé.",
    long: "Nom et motif sont trop longs ensemble.",
    forPractices: "Pour les cabinets",
    watch: "Qui voit quoi, en direct (en anglais)",
    yours: "Votre rendez-vous",
    keep: "L’adresse de cette page est le seul accès à ce rendez-vous : gardez-la. Ce que vous avez écrit est scellé ; cette page non plus ne peut plus le montrer.",
    lost: "Il n’y a pas de rendez-vous à cette adresse.",
    reminder: "Rappel",
    booked: "Réservé, et transmis au service de rappel",
    pending: "Transmission au service de rappel …",
    waiting: "Le SMS part dans quelques secondes",
    "reminder.sent": "Rappel envoyé, {time}",
    "reminder.delivered": "Rappel reçu, {time}",
    "reminder.failed": "Le rappel n’a pas pu être envoyé, {time} : le numéro est-il juste ?",
    "reminder.rejected": "Le rappel n’a pas pu être ouvert, {time}",
    "reminder.expired": "Il était trop tard pour un rappel, {time}",
    "reminder.suppressed": "Ce numéro ne veut pas de rappels, {time}",
    other: "{time} : {event}",
    cancelled: "Annulé",
    cancelledTold: "Annulé. Le service de rappel le sait et n’envoie plus rien.",
    move: "Un autre horaire",
    moveTo: "Déplacer",
    cancel: "Annuler le rendez-vous",
    sure: "Appuyez encore pour annuler",
    again: "Prendre un autre rendez-vous",
  },
  de: {
    title: "Termin buchen",
    promise: "Ihr Name, Ihr Anliegen und Ihre Nummer werden auf diesem Gerät versiegelt, bevor sie gesendet werden. Die ersten beiden öffnet Ihre Praxis, die dritte der Erinnerungsdienst. Wir, die diese Seite betreiben, bekommen zu nichts davon einen Schlüssel.",
    practice: "Praxis",
    time: "Uhrzeit",
    you: "Sie",
    name: "Name",
    reason: "Grund Ihres Besuchs",
    number: "Handynummer, für die Erinnerung",
    numberGoes: "Die SMS geht an {number}",
    numberWrong: "Eine Handynummer, zum Beispiel {example}",
    leaves: "Was dieses Gerät verlässt",
    sealedToPractice: "Name und Grund: versiegelt für {practice}",
    sealedToWorker: "Nummer und Sprache: versiegelt für den Erinnerungsdienst",
    key: "Schlüssel",
    keyHint: "Zu vergleichen mit dem, was Praxis und Erinnerungsdienst Ihnen sagen.",
    clear: "Im Klartext: welche Praxis und wann",
    clearHint: "Das brauchen wir, damit niemand sonst dieselbe Zeit bekommt.",
    book: "Versiegeln und buchen",
    sealing: "Wird versiegelt …",
    demo: "Eine Vorführung: Hier wird niemand behandelt, und kein Telefon bekommt eine SMS. Die Erinnerung geht etwa zehn Sekunden nach der Buchung hinaus, gleich welche Zeit Sie wählen; im Ernst wäre es am Tag davor.",
    taken: "Jemand war schneller. Bitte wählen Sie eine andere Zeit.",
    failed: "Das hat nicht geklappt. Bitte versuchen Sie es noch einmal.",
    otherKey: "Der Schlüssel des Erinnerungsdienstes ist nicht der, mit dem diese Seite ausgeliefert wurde. Es wurde nichts gesendet.",
    long: "Name und Grund sind zusammen zu lang.",
    forPractices: "Für Praxen",
    watch: "Wer sieht was, jetzt (auf Englisch)",
    yours: "Ihr Termin",
    keep: "Die Adresse dieser Seite ist der einzige Weg zu diesem Termin: Bewahren Sie sie auf. Was Sie geschrieben haben, ist versiegelt; auch diese Seite kann es nicht mehr zeigen.",
    lost: "Unter dieser Adresse gibt es keinen Termin.",
    reminder: "Erinnerung",
    booked: "Gebucht und dem Erinnerungsdienst übergeben",
    pending: "Wird dem Erinnerungsdienst übergeben …",
    waiting: "Die SMS geht in einigen Sekunden hinaus",
    "reminder.sent": "Erinnerung gesendet, {time}",
    "reminder.delivered": "Erinnerung angekommen, {time}",
    "reminder.failed": "Die Erinnerung konnte nicht gesendet werden, {time}: Stimmt die Nummer?",
    "reminder.rejected": "Die Erinnerung ließ sich nicht öffnen, {time}",
    "reminder.expired": "Für eine Erinnerung war es zu spät, {time}",
    "reminder.suppressed": "Diese Nummer will keine Erinnerungen, {time}",
    other: "{time}: {event}",
    cancelled: "Abgesagt",
    cancelledTold: "Abgesagt. Der Erinnerungsdienst weiß es und sendet nichts mehr.",
    move: "Eine andere Zeit",
    moveTo: "Verlegen",
    cancel: "Termin absagen",
    sure: "Zum Absagen noch einmal drücken",
    again: "Noch einen Termin buchen",
  },
};

const wanted = [localStorage.getItem("language"), ...navigator.languages.map((tag) => tag.slice(0, 2))];
export let language = wanted.find((tag) => tag in WORDS) ?? "en";

export function say(word, values = {}) {
  return Object.entries(values).reduce((text, [name, value]) => text.replace(`{${name}}`, value), WORDS[language][word]);
}

export const knows = (word) => word in WORDS[language];

// Writes all words of the page, now and whenever another language is chosen. It is kept on this device only.
export function speak(then) {
  const write = () => {
    document.documentElement.lang = language;
    for (const place of document.querySelectorAll("[data-word]")) place.textContent = say(place.dataset.word);
    for (const button of document.querySelectorAll(".languages button")) {
      button.setAttribute("aria-pressed", button.lang === language);
    }
    document.title = `${document.querySelector("h1").textContent} · Tilia`;
    then();
  };
  for (const button of document.querySelectorAll(".languages button")) {
    button.addEventListener("click", () => {
      localStorage.setItem("language", (language = button.lang));
      write();
    });
  }
  write();
}
