"""What replies are taken for. The first three tables were written before the word lists had been tried on them.

Each says how well the lists did then; docs/replies.md repeats it. Since then every miss was mended, so today they only
show that nothing has become worse.
"""
# ruff: noqa: RUF001 - words of other alphabets are the point

import gc
import random
import time
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker import replies, words
from reminder_worker.errors import SettingsError
from reminder_worker.replies import Meaning, Reading, read

# Written before the lists; 354 of 363 at the first try. Too good: one author wrote both within an hour.
FIRST = {
    "en": """
        STOP: STOP | Stop. | please stop texting me | wrong number, remove me | stop sending these
        STOP: unsubscribe me please
        STOP: I don't want any more texts from you | take me off your list | Opt-out | do not text this number again
        STOP: quit
        STOP: This isn't Sarah's phone anymore, stop messaging | STOP I never signed up for this
        STOP: no more messages thanks
        START: START | unstop | please start sending me reminders again | Resume
        HELP: HELP | info? | who is this | Help please
        CONFIRM: yes | Yes, I'll be there | ok thanks | Confirmed! | C | yep see you then | 👍
        CONFIRM: I will be there, thank you
        CANCEL: I need to cancel my appointment | no | I can't come | Sorry can't make it tomorrow | N
        CANCEL: please cancel, I am ill
        CANCEL: I won't be able to attend | can you cancel my appointment for Tuesday please
        OTHER: I'm at the bus stop, running late | please don't stop the reminders | Can we move it to Friday?
        OTHER: What time was it
        OTHER: I had to stop taking the tablets, is that a problem? | Running 10 minutes late sorry
        OTHER: Is there parking?
        OTHER: Who do I ask for at the end of the corridor | please don't cancel my appointment
    """,
    "fr": """
        STOP: STOP | Stop svp | Ne m'envoyez plus de SMS svp | arrêtez de m'écrire | désabonner
        STOP: vous vous trompez de numéro
        STOP: Je ne souhaite plus recevoir vos messages | ARRET | merci de me retirer de votre liste | stop aux sms
        START: recommencez à m'envoyer les rappels | REPRENDRE
        HELP: aide | Qui êtes-vous ?
        CONFIRM: oui merci | d'accord | Je confirme | ok je serai là | C'est noté, à mardi | bien reçu merci
        CANCEL: non | je ne peux pas venir | je dois annuler mon rdv
        CANCEL: Bonjour, je souhaite annuler mon rendez-vous merci
        CANCEL: désolée je serai absente | empêchée, je ne viendrai pas
        OTHER: J'arrive à l'arrêt de bus | ne pas arrêter les rappels svp
        OTHER: je suis en arrêt maladie, faut-il un papier ?
        OTHER: Peut-on décaler à jeudi ? | j'aurai 10 min de retard | Où est l'entrée
    """,
    "de": """
        STOP: STOP | Stopp! | Bitte keine SMS mehr | abmelden | Falsche Nummer, bitte löschen
        STOP: Hören Sie auf mir zu schreiben
        STOP: Ich möchte keine Erinnerungen mehr bekommen | schicken Sie mir nichts mehr
        STOP: Bitte nehmen Sie mich aus der Liste
        START: Bitte wieder Erinnerungen schicken | anmelden
        HELP: Hilfe | Wer ist das?
        CONFIRM: ja | Ja, ich komme | passt, danke | geht klar | Bestätigt | Alles klar bis Dienstag
        CANCEL: nein | Absage | Ich kann leider nicht kommen | Ich muss den Termin absagen | bitte Termin stornieren
        CANCEL: bin krank, komme nicht
        OTHER: Bushaltestelle verpasst, komme später | bitte nicht stoppen | Kann ich den Termin verschieben?
        OTHER: Der Zug hat 20 Min Verspätung | Wo kann man parken? | Bitte nicht absagen
    """,
    "es": """
        STOP: STOP | baja | Alto | no me manden más mensajes por favor | número equivocado | dejen de escribirme
        STOP: quiero darme de baja | No quiero recibir más sms | me pueden borrar de su lista
        START: alta | quiero volver a recibir los recordatorios
        HELP: ayuda | quién es
        CONFIRM: sí | si gracias | Confirmo | vale, allí estaré | de acuerdo | ok perfecto
        CANCEL: no | no puedo ir | quiero cancelar la cita | tengo que anular mi cita | Lo siento no podré asistir
        OTHER: estoy en la parada del bus | no paren los recordatorios | ¿Se puede cambiar para el viernes?
        OTHER: llego 10 minutos tarde | estoy de baja, ¿hace falta un justificante?
    """,
    "it": """
        STOP: STOP | basta | non mi mandate più messaggi | numero sbagliato | Disiscrivimi | cancellatemi dalla lista
        STOP: smettetela di scrivermi | Non voglio più ricevere sms
        START: riprendi | vorrei ricevere di nuovo i promemoria
        HELP: aiuto | chi siete?
        CONFIRM: sì | va bene | Confermo grazie | ok ci sarò | d'accordo a martedì
        CANCEL: no | non posso venire | devo disdire l'appuntamento | vorrei annullare | Purtroppo non riesco a venire
        OTHER: sono alla fermata del bus | non fermate i promemoria | Possiamo spostare a venerdì?
        OTHER: arrivo con 10 minuti di ritardo | Basta presentarsi alla reception?
    """,
    "nl": """
        STOP: STOP | afmelden | graag geen sms meer | verkeerd nummer | stop met berichten sturen
        STOP: Ik wil geen berichten meer ontvangen
        STOP: haal me van de lijst | uitschrijven aub
        START: hervatten | stuur mij weer herinneringen
        HELP: hulp | wie is dit?
        CONFIRM: ja | is goed | Ja ik kom | oké bedankt | ik bevestig | prima tot dinsdag
        CANCEL: nee | ik kan niet komen | afspraak annuleren graag | Ik moet afzeggen | helaas verhinderd
        OTHER: ben bij de bushalte | niet stoppen met herinneringen | kan het een andere dag?
        OTHER: ik ben 10 minuten later | waar moet ik zijn
    """,
    "pl": """
        STOP: STOP | proszę nie wysyłać więcej smsów | rezygnuję z powiadomień | pomyłka, to nie mój numer | wypisz
        STOP: nie chcę więcej wiadomości | proszę mnie usunąć z listy | przestańcie pisać
        START: wznów | proszę znowu wysyłać przypomnienia
        HELP: pomoc | kto to?
        CONFIRM: tak | Potwierdzam | ok dziękuję | będę | dobrze | Tak, przyjdę
        CANCEL: nie | nie mogę przyjść | chcę odwołać wizytę | proszę anulować termin | niestety nie dam rady
        OTHER: jestem na przystanku, spóźnię się | proszę nie odwoływać wizyty | Czy można przełożyć na piątek?
        OTHER: spóźnię się 10 minut | gdzie jest wejście
    """,
    "pt": """
        STOP: STOP | parar | sair | não quero mais receber mensagens | número errado | parem de me mandar sms
        STOP: remover | me tirem dessa lista | não enviem mais mensagens por favor
        START: voltar | quero voltar a receber lembretes
        HELP: ajuda | quem é?
        CONFIRM: sim | confirmo | ok obrigada | estarei lá | está bem | Sim, vou
        CANCEL: não | não posso ir | quero cancelar a consulta | preciso desmarcar | infelizmente não vou conseguir ir
        OTHER: estou na parada de ônibus | não parem os lembretes | dá para mudar para sexta?
        OTHER: vou chegar 10 minutos atrasado | fui parar no hospital ontem, e agora?
    """,
    "ro": """
        STOP: STOP | opriți mesajele | nu mai trimiteți sms | număr greșit | dezabonare | nu mai vreau mesaje
        STOP: scoateți-mă de pe listă | Nu vreau să mai primesc mesaje
        START: reia | vreau din nou mesaje
        HELP: ajutor | cine este?
        CONFIRM: da | confirm | ok mulțumesc | voi fi acolo | da, vin | bine
        CANCEL: nu | nu pot veni | vreau să anulez programarea | trebuie să anulez | din păcate nu pot ajunge
        OTHER: sunt la stația de autobuz | nu opriți mesajele | se poate muta pe vineri?
        OTHER: întârzii 10 minute | unde este intrarea
    """,
    "tr": """
        STOP: STOP | DUR | iptal et mesajları | lütfen mesaj göndermeyin | yanlış numara | bana mesaj atmayın artık
        STOP: listeden çıkarın | artık sms istemiyorum
        START: BAŞLAT | tekrar mesaj gönderin
        HELP: yardım | kimsiniz?
        CONFIRM: evet | tamam | onaylıyorum | geleceğim | Tamam teşekkürler | evet geliyorum
        CANCEL: hayır | gelemiyorum | randevumu iptal etmek istiyorum | iptal | maalesef gelemeyeceğim
        OTHER: durakta bekliyorum | randevumu iptal etmeyin | cuma gününe alabilir miyiz?
        OTHER: 10 dakika geç kalacağım | giriş nerede
    """,
    "uk": """
        STOP: STOP | СТОП | не надсилайте мені більше повідомлень | неправильний номер | відписатися
        STOP: припиніть писати
        STOP: видаліть мій номер | Не хочу отримувати смс
        START: СТАРТ | надсилайте знову нагадування
        HELP: допомога | хто це?
        CONFIRM: так | підтверджую | добре, дякую | буду | ок | Так, прийду
        CANCEL: ні | не зможу прийти | хочу скасувати запис | скасуйте будь ласка запис | на жаль не прийду
        OTHER: я на зупинці автобуса | не скасовуйте запис | чи можна перенести на п'ятницю?
        OTHER: запізнюся на 10 хвилин | де вхід
    """,
    "ar": """
        STOP: STOP | توقف | إيقاف | لا ترسلوا لي رسائل | رقم خاطئ | ألغوا الاشتراك
        STOP: أوقفوا الرسائل من فضلكم | لا أريد رسائل بعد الآن
        START: ابدأ | أريد استلام التذكيرات من جديد
        HELP: مساعدة | من أنتم؟
        CONFIRM: نعم | أؤكد | حسنا شكرا | سأحضر | تمام | موافق
        CANCEL: لا | لا أستطيع الحضور | أريد إلغاء الموعد | الغاء | للأسف لن أحضر
        OTHER: أنا في موقف الحافلة | لا تلغوا الموعد | هل يمكن تغيير الموعد إلى الجمعة؟
        OTHER: سأتأخر عشر دقائق | أين المدخل
    """,
}

# Written after the lists, to be harder; 313 of 342 at the first try.
SECOND = {
    "en": """
        STOP: pls dont send me this stuff anymore | I have asked you twice already to stop contacting me!!
        STOP: who are you? stop | Not Maria. Wrong no. Please delete | i withdraw consent for sms
        STOP: Can you please take this number off your system, I'm not John | stop bugging me
        STOP: I no longer wish to get these | How do I stop these texts | enough already, stop.
        START: I'd like to get the reminders again please | start texting me again | opt in
        START: please turn the reminders back on
        HELP: What's this? | HELP!! | More info please | hi who is this please
        CONFIRM: Great, see you Tuesday | Yup! | We'll be there at 2 | OK 👍 | Will do thanks | yes confirming
        CONFIRM: Thank you. I'll be there. | All good, ta
        CANCEL: Unable to make tomorrow, apologies | Something came up, need to cancel | Nope can't do it
        CANCEL: please cancel my slot, got covid | I'm away that day so can't attend | hi i wont make it today
        OTHER: I'll be late because the train stopped | Do I need to stop eating beforehand?
        OTHER: can I bring my daughter with me? | I thought it was on Thursday | Stopped at lights, be there in 5
        OTHER: thanks
        OTHER: yes but can I come at 4 instead | I might not make it, will let you know | has it been cancelled?
        OTHER: My phone ends in 42
    """,
    "fr": """
        STOP: plus de messages merci | je ne suis pas la bonne personne, effacez mon numéro | Stop !
        STOP: arretez ces sms | laissez-moi tranquille | Veuillez cesser tout envoi de sms
        STOP: Mr Durand n'a plus ce numéro | je me désabonne | ne plus m'envoyer de rappel svp
        START: je veux de nouveau recevoir vos sms | démarrer
        HELP: de qui s'agit-il ? | AIDE SVP
        CONFIRM: Oui c'est parfait | ok pour moi | c'est bon pour mardi | Présence confirmée | oui je viendrai
        CONFIRM: 👍 merci | entendu, à demain
        CANCEL: malheureusement je ne pourrai pas être présent | Je souhaite annuler | merci d'annuler
        CANCEL: impossible pour moi ce jour | je ne serai pas là, désolé | rdv à annuler svp
        OTHER: le bus ne s'arrête plus ici, je serai en retard | merci | je ne sais pas encore si je peux venir
        OTHER: dois-je arrêter mon traitement avant ? | est-ce que c'est annulé ? | oui mais à quelle heure ?
    """,
    "de": """
        STOP: Schluss jetzt mit den SMS | Ich bin nicht Frau Müller, falsche Nummer
        STOP: keine weiteren Nachrichten bitte | Stop bitte | Löschen Sie meine Nummer
        STOP: bitte schreiben Sie mir nicht mehr
        STOP: SMS abbestellen | will keine Terminerinnerungen mehr | Nehmen Sie meine Nummer raus
        START: ich hätte gern wieder Erinnerungen | START
        HELP: Wer sind Sie? | Info
        CONFIRM: Jawohl | ok bis morgen | Termin passt | Ich bestätige den Termin | ja danke | Wir kommen
        CONFIRM: super danke
        CANCEL: Schaffe es leider nicht | kann den Termin nicht wahrnehmen | Ich sage ab | muss leider absagen
        CANCEL: Termin bitte streichen | Komme morgen nicht
        OTHER: der Bus hält nicht, bin zu spät | Danke | wann war der Termin noch mal?
        OTHER: Ich weiß noch nicht ob ich komme | muss ich vorher Tabletten absetzen? | ja aber geht auch 15 Uhr?
    """,
    "es": """
        STOP: por favor no me escriban | ya no quiero sus mensajes | se equivocaron de número | bórrenme por favor
        STOP: paren | No soy Juan, dejen de mandar mensajes | STOP por favor
        START: reanudar mensajes | empezar
        HELP: ¿Quién habla? | más info
        CONFIRM: claro que sí | confirmada la cita | ahí estaré | Sí, muchas gracias | ok
        CONFIRM: perfecto nos vemos el martes
        CANCEL: no voy a poder ir | por favor cancelen mi cita | anular
        CANCEL: me ha surgido un imprevisto y no puedo acudir | No asistiré
        OTHER: el autobús no para aquí, llego tarde | gracias | no sé si podré ir | ¿está cancelada la cita?
        OTHER: sí pero ¿puede ser más tarde? | ¿debo dejar de comer antes?
    """,
    "it": """
        STOP: non scrivetemi più | toglietemi dalla lista | ha sbagliato numero | basta sms
        STOP: Non sono io, cancellate il mio numero | stop grazie
        START: vorrei di nuovo i messaggi | attiva
        HELP: chi è? | info
        CONFIRM: perfetto grazie | certo ci sarò | confermo l'appuntamento | Ok a domani | sì, verrò
        CANCEL: non ci sarò | devo annullare l'appuntamento di domani | Mi dispiace ma non potrò venire | disdico
        CANCEL: annullare
        OTHER: l'autobus è fermo, arrivo tardi | grazie | non so se riesco | devo smettere le medicine prima?
        OTHER: sì ma a che ora? | è stato annullato?
    """,
    "nl": """
        STOP: stuur me geen sms meer | u heeft het verkeerde nummer | Stop aub | niet meer berichten sturen
        STOP: ik ben niet Jan, verwijder mijn nummer | Afmelden a.u.b.
        START: weer aanmelden | ik wil weer berichten
        HELP: wie bent u | help
        CONFIRM: ja hoor | afspraak bevestigd | tot morgen | Oke is goed | ik zal er zijn
        CANCEL: ik ben verhinderd | kan de afspraak geannuleerd worden | nee sorry | Ik moet helaas annuleren
        CANCEL: het lukt me niet om te komen
        OTHER: de bus stopt niet, ben later | dank u | ik weet nog niet of ik kan | moet ik stoppen met mijn pillen?
        OTHER: ja maar hoe laat | is de afspraak geannuleerd?
    """,
    "pl": """
        STOP: nie piszcie do mnie | to pomyłka | stop proszę | Proszę o usunięcie mojego numeru
        STOP: nie życzę sobie smsów | zły numer
        START: start | chcę znów dostawać powiadomienia
        HELP: kim Państwo są? | info
        CONFIRM: tak, będę | potwierdzam wizytę | ok, do zobaczenia | Jasne | dobrze dziękuję
        CANCEL: nie przyjdę | odwołuję | muszę zrezygnować z wizyty | Niestety nie mogę być | anuluj wizytę
        OTHER: autobus się zatrzymał, spóźnię się | dziękuję | nie wiem czy dam radę | czy przestać brać leki?
        OTHER: tak ale o której? | czy wizyta jest odwołana?
    """,
    "pt": """
        STOP: não me mandem mensagens | este número não é da Maria | parem com os sms | engano
        STOP: quero cancelar a subscrição | stop por favor
        START: recomeçar | quero receber de novo os lembretes
        HELP: quem fala? | info
        CONFIRM: confirmado | sim, obrigada | lá estarei | Ok combinado | pode confirmar
        CANCEL: não vou poder ir | desmarcar por favor | cancelar | Peço para anular a consulta
        CANCEL: não consigo ir amanhã
        OTHER: o autocarro parou, vou atrasar | obrigado | não sei se consigo | devo parar a medicação?
        OTHER: sim mas a que horas? | foi cancelada?
    """,
    "ro": """
        STOP: ați greșit numărul | nu îmi mai scrieți | stop vă rog | opreste mesajele | ștergeți numărul meu
        STOP: Nu mai doresc notificări
        START: start | reluați mesajele
        HELP: cine sunteți? | info
        CONFIRM: da mulțumesc | sigur | confirm prezența | ok ne vedem mâine | vom fi acolo
        CANCEL: nu mai pot veni | anulez programarea | nu ajung | doresc anularea programării | Nu voi putea veni
        OTHER: autobuzul s-a oprit, întârzii | mulțumesc | nu știu dacă pot | trebuie să opresc tratamentul?
        OTHER: da dar la ce oră? | a fost anulată programarea?
    """,
    "tr": """
        STOP: mesaj istemiyorum | yanlış kişi | SMS göndermeyin lütfen | beni listenizden silin | durdurun
        STOP: ben Ahmet değilim
        START: devam et | yeniden mesaj almak istiyorum
        HELP: siz kimsiniz | bilgi
        CONFIRM: onaylıyorum teşekkürler | geliyorum | olur | Evet, orada olacağım | tmm
        CANCEL: iptal edin lütfen | gelemem | randevuyu iptal eder misiniz | Yarın gelemeyeceğim | hayır
        OTHER: otobüs durdu, geç kalacağım | teşekkürler | gelebilir miyim bilmiyorum | ilacı bırakmam gerekir mi?
        OTHER: evet ama saat kaçta? | randevu iptal mi oldu?
    """,
    "uk": """
        STOP: ви помилилися номером | стоп будь ласка | не пишіть мені | більше не треба повідомлень | Відписка
        STOP: це не Оксана, видаліть номер
        START: відновити | хочу знову отримувати нагадування
        HELP: хто ви? | інфо
        CONFIRM: так, дякую | буду вчасно | підтверджую запис | Ок, до завтра | звичайно
        CANCEL: скасувати | не можу прийти завтра | відмініть запис | На жаль, не зможу | ні, дякую
        OTHER: автобус зупинився, запізнюсь | дякую | не знаю чи зможу | чи припинити приймати ліки?
        OTHER: так, але о котрій? | запис скасовано?
    """,
    "ar": """
        STOP: لا أريد رسائل | الرقم غلط | توقف من فضلك | احذفوا رقمي | لست أحمد، رقم خطأ | كفى رسائل
        START: أعيدوا إرسال التذكيرات | ابدأ من فضلك
        HELP: من معي | معلومات
        CONFIRM: نعم شكرا | إن شاء الله | أوكي | سأكون هناك | تم
        CANCEL: ألغوا موعدي | لن أتمكن من الحضور | لا شكرا | أعتذر لا أستطيع المجيء | إلغاء الموعد من فضلك
        OTHER: توقفت الحافلة سأتأخر | شكرا | لا أعرف إن كنت أستطيع | هل أتوقف عن الدواء؟ | نعم لكن متى؟
        OTHER: هل ألغي الموعد؟
    """,
}

# The same once more, after the misses of the others were mended; 171 of 190 at the first try.
THIRD = {
    "en": """
        STOP: kindly remove this number from your database | I'm not the person you are looking for, pls stop
        STOP: Stop sending me appointments that arent mine | no thanks stop
        CONFIRM: Yes that's fine thanks | Ok will be there | Confirming for Tuesday
        CANCEL: have to cancel sorry | I am unable to make my appointment | not able to make it, please rebook me
        OTHER: The bus didn't stop for me, 15 mins late | Could I have an earlier time? | Do you take cards
        OTHER: I stopped the antibiotics yesterday
    """,
    "fr": """
        STOP: Merci d'arrêter les messages | je n'ai rien demandé, stop | enlevez mon numéro svp
        STOP: ne me contactez plus
        CONFIRM: Oui je serai présente | ok merci à mardi | confirmé | parfait merci beaucoup
        CANCEL: je n'ai pas de voiture, je ne peux pas venir | veuillez annuler mon rdv svp | Je ne viens pas
        CANCEL: RDV annulé de ma part
        OTHER: j'ai arrêté le traitement hier | Où se garer ? | le bus est à l'arrêt, retard 15 min
        OTHER: est-il possible d'avancer l'heure ?
    """,
    "de": """
        STOP: Bitte aus dem Verteiler nehmen | Keine weiteren SMS | Hier ist nicht Herr Weber
        STOP: ich will das nicht mehr
        CONFIRM: Ja passt | Termin nehme ich wahr | bestätigt, vielen Dank | ok danke
        CANCEL: Muss absagen | Kann morgen nicht | Wir können den Termin nicht einhalten | bitte den Termin löschen
        OTHER: Habe die Tabletten abgesetzt | Kann ich früher kommen? | Wie lange dauert es
        OTHER: Die Bahn steht, komme etwas später
    """,
    "es": """
        STOP: no envíen más | quítenme de la lista | este teléfono no es de Ana | Cancelar mensajes
        CONFIRM: sí confirmo mi asistencia | vale gracias | allí estaremos | perfecto
        CANCEL: no puedo asistir | anulen la cita por favor | necesito cancelar | imposible ir mañana
        OTHER: dejé de tomar la pastilla | ¿dónde puedo aparcar? | ¿puedo ir antes? | el tren paró, voy con retraso
    """,
    "it": """
        STOP: togliete il mio numero | niente più sms per favore | questo non è il numero di Anna
        STOP: smettete di mandare messaggi
        CONFIRM: sì grazie | confermo la presenza | va bene a domani | ok
        CANCEL: non posso | annullate l'appuntamento per favore | sono malato e non vengo | devo rinunciare
        OTHER: ho smesso la cura | dove posso parcheggiare? | posso venire prima? | il treno si è fermato, ritardo
    """,
    "nl": """
        STOP: verwijder mijn nummer aub | geen berichten meer | dit is niet het nummer van Jan | hou op met sms'en
        CONFIRM: ja dank u | is goed bedankt | ik kom | oké tot dan
        CANCEL: ik moet annuleren | kan niet komen wegens ziekte | zeg mijn afspraak af | helaas kan ik er niet zijn
        OTHER: ik ben gestopt met de pillen | waar kan ik parkeren? | kan ik eerder komen?
        OTHER: trein staat stil, ben later
    """,
    "pl": """
        STOP: proszę nie pisać | usuńcie mój numer | to nie jest numer pani Anny | bez smsów proszę
        CONFIRM: tak dziękuję | potwierdzam obecność | oczywiście będę | ok
        CANCEL: muszę odwołać | nie będę mogła przyjść | proszę odwołać moją wizytę | nie przyjadę
        OTHER: przestałam brać leki | gdzie zaparkować? | czy mogę przyjść wcześniej? | pociąg stoi, spóźnię się
    """,
    "pt": """
        STOP: retirem o meu número | não enviem sms | não sou o João | cancelar mensagens
        CONFIRM: sim confirmo a presença | ok obrigado | estarei presente | combinado
        CANCEL: tenho de desmarcar | não posso comparecer | cancelem a minha consulta | não vou poder comparecer
        OTHER: parei de tomar os comprimidos | onde posso estacionar? | posso ir mais cedo?
        OTHER: o comboio está parado, vou atrasado
    """,
    "ro": """
        STOP: nu mai trimiteți | scoateți numărul meu | acesta nu e numărul lui Ion | fără mesaje vă rog
        CONFIRM: da confirm | ok mulțumesc frumos | voi veni | sigur că da
        CANCEL: trebuie să anulez | nu pot ajunge mâine | anulați programarea mea | nu voi putea ajunge
        OTHER: am oprit pastilele | unde pot parca? | pot veni mai devreme? | trenul stă, întârzii
    """,
    "tr": """
        STOP: numaramı silin | mesaj göndermeyi bırakın | bu Ayşe'nin numarası değil | artık mesaj atmayın
        CONFIRM: tamam geleceğim | evet teşekkürler | onaylıyorum | olur görüşürüz
        CANCEL: gelemeyeceğim | randevumu iptal edin | iptal etmem lazım | yarın gelemem
        OTHER: ilacı bıraktım | nereye park edebilirim? | daha erken gelebilir miyim? | tren durdu geç kalacağım
    """,
    "uk": """
        STOP: приберіть мій номер | не треба мені писати | це не номер Івана | припиніть смс
        CONFIRM: так, підтверджую | добре, до зустрічі | прийду | ок дякую
        CANCEL: змушена скасувати | не зможу бути | прошу скасувати мій запис | я не прийду
        OTHER: я припинила пити таблетки | де можна припаркуватися? | можна прийти раніше? | потяг стоїть, запізнюся
    """,
    "ar": """
        STOP: احذفوا رقمي من القائمة | لا تراسلوني | هذا ليس رقم أحمد | أوقفوا الرسائل
        CONFIRM: نعم سأحضر | تمام شكرا | موافق إن شاء الله | أؤكد الموعد
        CANCEL: لن أحضر غدا | أرجو إلغاء موعدي | لا يمكنني الحضور | ألغوا الموعد
        OTHER: توقفت عن الدواء | أين أوقف السيارة؟ | هل يمكن أن آتي أبكر؟ | القطار متوقف سأتأخر
    """,
}

# Ways to write one word.
SPELT = {
    "en": """
        STOP: Stop. | «STOP» | S T O P | S.T.O.P. | s-t-o-p | STOP!!! | stop stop
        STOP: Stopp | ＳＴＯＰ | ST0P | ЅТОР | STOPPP
        STOP: “Stop” | 'stop' | *STOP* | stop 🛑 | 🛑 | unsubcribe | un5ubscribe
        STOP: 𝐒𝐓𝐎𝐏 | ok stop | no stop | yes. stop | CANCEL | Cancel. | Stop it is enough and you know it
        STOP: STOP. I never asked for this, it is not my appointment and I do not know you
        CONFIRM: YES! | yes 😊 | 1️⃣ | 👍🏽 | 👍👍 | “Yes” | y e s | yesss | OKAY | ✅
        CANCEL: NO! | no. | cancel please | please cancel | N. | 👎 | nooo
        HELP: HELP! | help? | H E L P
        OTHER: ? | !!! | 😀 | x | yes? | yes？ | نعم؟ | ok but | yes no | 42
    """,
    "fr": """
        STOP: ARRÊT | arret | Arrêtez ! | DÉSABONNER | désabonner | STOP SVP | stop sms
        CANCEL: NON | non. | annuler
        OTHER: C'est dur | ok mais
    """,
    "de": "STOP: ABMELDEN | abmelden bitte | Löschen | loeschen | aufhoeren",
    "tr": "CONFIRM: EVET | TAMAM | onaylıyorum | onayliyorum\nCANCEL: HAYIR | hayir | İPTAL | iptal",
    "uk": "CANCEL: Ні | нi | НІ!\nSTOP: СТОП! | С Т О П",
    "it": "OTHER: mi pare di sì | la fermata è chiusa\nCONFIRM: SÌ | si' | Sì!",
    "ar": "STOP: إيقاف | ايقاف | توقّف | تـوقـف",
}

# People who say that it is not for them, without the words "wrong number"; a parent who answers for a child is not one.
NOT_ME = {
    "en": """
        STOP: Not for me | Sorry, this message is not for me | the text wasn't meant for me | That's not me | not me
        OTHER: The appointment is not for me, it's for my son | It is not me who comes, it is my wife
    """,
    "fr": "STOP: Ce n'est pas moi | C'est pas moi, désolé",
    "de": "STOP: Das bin ich nicht | Ich bin nicht gemeint, sorry",
    "es": "STOP: No soy yo | Perdón, ese no soy yo",
    "pt": "STOP: Não sou eu | Desculpe, não sou eu",
    "nl": "STOP: Dat ben ik niet | sorry, ik ben het niet",
    "pl": "STOP: To nie ja | Przepraszam, to nie ja",
    "ar": "STOP: ليس أنا | مش أنا",
}

# A start that is refused must not undo an earlier STOP; a negation beside one that is wanted refuses nothing.
NOT_AGAIN = {
    "en": """
        STOP: Don't start texting me again | please never resume sending | Don't sign me up | I never want texts again
        STOP: I do not want you to start sending me reminders again
        START: I didn't mean to stop, please start sending reminders again | I do not want to stop I want texts again
    """,
    "fr": """
        STOP: ne reprenez pas les rappels | je ne veux pas recevoir de nouveau vos messages | reprenez pas les rappels
        START: Je ne reçois plus rien, merci de m'envoyer de nouveau les rappels
    """,
    "de": """
        STOP: Bitte nicht wieder Erinnerungen schicken | nie wieder SMS | bitte nicht wieder anmelden
        START: ich bekomme nichts mehr, bitte wieder SMS
    """,
    "es": """
        STOP: no vuelvan a enviarme sms | no quiero volver a recibir | no reanuden los mensajes
        START: ya no recibo nada, quiero volver a recibir
    """,
    "it": "STOP: non riprendete i messaggi | non riattivate i promemoria | non ricominciate a scrivermi",
    "nl": "STOP: stuur niet opnieuw berichten | niet opnieuw aanmelden | nooit weer berichten",
    "pl": "STOP: nie włączcie powiadomień\nSTART: nie dostaję sms proszę wznowić",
    "pt": "STOP: não me inscreva de novo | não retomem os lembretes\nSTART: não recebo nada quero voltar a receber",
    "ro": "STOP: nu trimiteți din nou mesaje | nu reluați mesajele\nSTART: nu mai primesc mesaje reluați mesajele",
    "tr": "STOP: mesajlara devam etmeyin | göndermeye devam etmeyin\nSTART: mesajlara devam edin",
    "uk": "STOP: не продовжуйте надсилати\nSTART: не отримую смс надсилайте знову",
    "ar": "STOP: لا أريد الاشتراك\nSTART: لا تصلني الرسائل أريد استلام الرسائل",
}

# Who doubts, or says no in the words of a yes, has not confirmed.
NO_YES = {
    "en": """
        OTHER: I doubt I will be there | I am not at all sure that I will be there | unlikely I will be there
        CONFIRM: No doubt, I will be there | I will be there late
    """,
    "fr": "OTHER: je doute que je serai là\nCONFIRM: je serai là sans aucun doute",
    "de": "OTHER: ich bezweifle dass ich komme",
    "es": "OTHER: no creo que asistiré | tampoco asistiré",
    "it": "OTHER: non credo che ci sarò | non confermiamo\nCANCEL: non sarò presente | non verremo",
    "nl": "OTHER: ik twijfel of ik kom",
    "pl": "OTHER: nie sądzę że przyjdę\nCANCEL: nie będziemy na wizycie",
    "pt": "OTHER: duvido que estarei lá | não confirmamos",
    "ro": "OTHER: nu cred că voi veni | nu confirmăm\nCANCEL: nu vom veni | nu vom fi acolo",
    "tr": "OTHER: gelirim sanmıyorum",
    "uk": "OTHER: сумніваюся що прийду | не підтверджуємо",
    "ar": "OTHER: لا أعتقد أنني سأحضر | لم أؤكد",
}

# Who does not cancel has not cancelled; a no before it, in a sentence of its own, changes nothing.
NOT_CANCELLED = {
    "en": """
        OTHER: I am not cancelling my appointment | I won't cancel my appointment | I haven't cancelled my appointment
        CANCEL: No, I am cancelling my appointment | not feeling well, please cancel my appointment
    """,
    "de": "OTHER: ich sage den Termin nicht ab\nCANCEL: leider nein, ich sage den Termin ab",
    "es": "OTHER: no cancelo la cita | no anulo mi cita\nCANCEL: no, cancelo la cita",
    "it": "OTHER: non annullo l'appuntamento | non disdico l'appuntamento",
    "pl": "OTHER: nie odwołuję wizyty | nie chcę odwołać wizyty\nCANCEL: nie, odwołuję wizytę",
    "pt": "OTHER: não cancelo a consulta | não desmarco a consulta\nCANCEL: não, cancelo a consulta",
    "tr": "OTHER: randevumu iptal etmiyorum | randevumu iptal etmedim",
    "uk": "OTHER: я не скасовую запис | не хочу скасувати запис\nCANCEL: ні, скасовую запис",
    "ar": "OTHER: لن ألغي الموعد | لم ألغ الموعد",
}


def cases(*tables):
    """Read the tables: language, meaning and phrase of each case."""
    for table in tables:
        for language, text in table.items():
            for line in text.strip().splitlines():
                meaning, _, phrases = line.strip().partition(": ")
                for phrase in phrases.split(" | "):
                    yield language, Meaning[meaning], phrase


EVERYTHING = [*cases(FIRST, SECOND, THIRD, SPELT, NOT_ME, NOT_AGAIN, NO_YES, NOT_CANCELLED)]
LANGUAGES = ("ar", "de", "en", "es", "fr", "it", "nl", "pl", "pt", "ro", "tr", "uk")


@pytest.mark.parametrize(("language", "meaning", "phrase"), EVERYTHING)
def test_a_reply_is_understood(language, meaning, phrase):
    assert read(phrase).meaning is meaning


def test_every_language_has_cases_for_every_meaning_and_traps():
    counts = {(language, meaning): 0 for language in LANGUAGES for meaning in Meaning}
    for language, meaning, _ in EVERYTHING:
        counts[language, meaning] += 1
    assert min(counts.values()) >= 2
    assert all(counts[language, Meaning.OTHER] >= 3 for language in LANGUAGES)
    assert all(sum(n for (_, one), n in counts.items() if one is meaning) >= 25 for meaning in Meaning)


FCC = ("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe")
CTIA = ("STOP", "STOPALL", "END", "CANCEL", "UNSUBSCRIBE", "QUIT", "OPT-OUT", "REVOKE", "REMOVE")
POLITE = ("svp", "bitte", "por favor", "grazie", "aub", "proszę", "obrigado", "mulțumesc", "lütfen", "дякую", "شكرا")


@pytest.mark.parametrize("word", FCC + CTIA)
def test_the_words_of_the_law_stop_whatever_stands_around_them(word):
    for written in (word, word.upper(), f" {word} ", f"{word}.", f"«{word}»", f"{word}!!!", f"\u200b{word}"):
        assert read(written).meaning is Meaning.STOP


@pytest.mark.parametrize("polite", POLITE)
@pytest.mark.parametrize("word", ["stop", "unsubscribe", "end", "quit", "stopall"])
def test_english_words_stop_in_every_language(word, polite):
    assert read(f"{word} {polite}").meaning is read(f"{polite}, {word.upper()}!").meaning is Meaning.STOP


@pytest.mark.parametrize("word", ["stop", "unsubscribe"])
@pytest.mark.parametrize("phrase", [phrase for _, meaning, phrase in cases(FIRST) if meaning is not Meaning.STOP][::5])
def test_stop_wins_over_everything_else(word, phrase):
    assert read(f"{word}. {phrase}").meaning is Meaning.STOP
    assert read(f"{phrase}. {word}").meaning is Meaning.STOP


@pytest.mark.parametrize(
    ("phrase", "language"),
    [
        ("stop", "en"),
        ("stop svp", "fr"),
        ("oui merci", "fr"),
        ("yes gracias", "es"),
        ("Bitte keine SMS mehr", "de"),
        ("niet meer sturen", "nl"),
        ("так", "uk"),
        ("نعم", "ar"),
        ("hilfe", "de"),
        ("running late", "en"),
        ("j'arrive", "en"),
    ],
)
def test_the_language_is_that_of_the_words(phrase, language):
    assert read(phrase).language == language


OWN = "Reminder: you have an appointment on Tuesday 16 March at 14:30, 12 High St. Not for you? Reply STOP."


def test_our_own_text_sent_back_stops_nothing():
    assert read(f"Liked “{OWN}”").meaning is Meaning.CONFIRM
    assert read(f"Laughed at “{OWN}”").meaning is Meaning.OTHER
    assert read(f"> {OWN}\nyes").meaning is Meaning.CONFIRM
    assert read("Please “stop sending me these messages, I do not want them at all”").meaning is Meaning.STOP
    assert read(f"“{OWN}” STOP").meaning is Meaning.STOP


# Any text at all

UGLY = st.text(st.characters(), max_size=700)


@given(UGLY)
def test_every_text_has_a_reading(text):
    reading = read(text)
    assert isinstance(reading, Reading)
    assert reading.language in LANGUAGES


@given(
    st.lists(st.sampled_from(["stop", "not", "no", "yes", "my", "appointment", "don't", "me", "...", "?", "👍", "ne"]))
)
def test_every_row_of_words_has_a_reading(parts):
    assert read(" ".join(parts)) == read(" ".join(parts).upper()) == read(f"  {' '.join(parts)}\u200b ")


@given(st.text(st.characters(categories=["Zs", "Po", "Cf"]), max_size=8), st.sampled_from(FCC))
def test_signs_around_a_word_change_nothing(signs, word):
    assert read(f"{signs} {word} {signs}").meaning is Meaning.STOP


LONG = ("a ", "stop ", "don't stop ", "x", "ﷺ", "\u0301")


@pytest.mark.parametrize("text", [part * 5000 for part in LONG], ids=range(len(LONG)))
def test_a_long_text_takes_no_longer_than_its_beginning(text):
    read("warm")
    started = time.thread_time()
    assert read(text) == read(text[: replies.LOOKED_AT])
    assert time.thread_time() - started < 2


def test_what_stands_far_behind_is_not_looked_at():
    assert read("bc" * 200 + " stop texting me").meaning is Meaning.STOP
    assert read("bc" * 300 + " stop texting me").meaning is Meaning.OTHER


# What is never shown

CANARY = "zxqv oncology"


@pytest.mark.parametrize("text", [f"stop {CANARY}", f"yes {CANARY}", CANARY, f"I can't come, {CANARY}"])
def test_nothing_of_a_text_is_in_what_is_given_back(text):
    reading = read(text)
    shown = f"{reading!r} {reading} {reading.meaning!r} {reading.__reduce_ex__(2)}"
    assert "zxqv" not in shown
    assert "onco" not in shown
    assert set(Reading.__slots__) == {"meaning", "language"}


def test_a_reply_that_is_being_understood_is_not_shown():
    assert "zxqv" not in repr(replies._Reply(words.row(CANARY), asks=False, words=words.load()))


@pytest.mark.parametrize("wrong", [CANARY.encode(), [CANARY], {CANARY: 1}, 7, None])
def test_an_error_shows_nothing(wrong):
    with pytest.raises((TypeError, AttributeError, KeyError)) as error:
        read(wrong)
    assert "zxqv" not in "".join(traceback.format_exception(error.value))


def test_no_text_is_remembered():
    word = "".join(random.choices("qvxz", k=8))  # written here it would be among the names that Python keeps
    read(f"stop {word}")
    gc.collect()
    assert words.load.cache_info().currsize == 1
    lists = [one for one in gc.get_objects() if isinstance(one, list | tuple | dict) and not isinstance(one, type)]
    assert not [one for one in lists if any(isinstance(item, str) and item == word for item in list(one))]


def test_nothing_is_printed_or_logged(capfd, caplog):
    with caplog.at_level(0):
        read(f"stop {CANARY}")
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


# Files of words

FILES = dict(words._texts())


def test_every_language_has_its_words():
    assert tuple(sorted(FILES)) == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_list_is_well_formed(language):
    sections = words.read(language, FILES[language])
    for section, entries in sections.items():
        assert len(entries) == len(set(entries)), section
        for entry in entries:
            assert list(words._spellings(language, entry, sections))
            assert not entry.startswith("...")


def test_no_word_means_two_things():
    whole = ("stop", "start", "help", "confirm", "cancel")
    seen = {}
    for language, text in FILES.items():
        sections = words.read(language, text)
        for section in whole:
            for entry in sections[section] + (sections["stop words"] if section == "stop" else []):
                for places in words._spellings(language, entry, sections):
                    assert seen.setdefault(places, section) == section, (language, entry)


def test_no_courtesy_is_a_no_in_another_language():
    assert (
        words.load()["courtesy"].find(words.row("no | non | não | nu | ne | nie | nein | nicht | nee | не | ні | لا"))
        is None
    )
    assert {read(text).meaning for text in ("nu e bine", "nu accept", "nu de acord", "nu am primit")} == {Meaning.OTHER}


@pytest.mark.parametrize("section", ["stop", "stop words", "confirm", "cancel", "start", "help"])
def test_every_word_of_a_list_works_alone(section):
    meaning = Meaning[section.split()[0].upper()]
    for language, text in FILES.items():
        for entry in words.read(language, text)[section]:
            found = read(entry.replace("...", " ")).meaning
            assert found is meaning or entry in words.read("en", FILES["en"])["stop alone"], (language, entry)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("zxqv\n[stop]", "words/xx.txt, line 1: an entry stands before the first [section]"),
        ("[stop]\nzxqv\n[stop]", "words/xx.txt, line 3: a section is unknown or there twice"),
        ("[zxqv]", "words/xx.txt, line 1: a section is unknown or there twice"),
        ("[stop]\nzxqv", "words/xx.txt: [appointment] is missing or empty"),
    ],
)
def test_a_wrong_list_is_refused(text, problem):
    with pytest.raises(SettingsError) as error:
        words.read("xx", text)
    assert str(error.value) == problem


@pytest.mark.parametrize("entry", ["... zxqv", "zxqv !", "{zxqv} a", "a//b", "*"])
def test_a_wrong_entry_is_refused(entry):
    with pytest.raises(SettingsError, match=r"^words/xx\.txt: an entry begins with a gap or holds what is no word$"):
        list(words._spellings("xx", entry, {}))


@pytest.mark.parametrize(
    ("entry", "yes", "no"),
    [
        ("word", "a Word!", "words"),
        ("word*", "wordy", "sword"),
        ("this/that one", "that one", "one"),
        ("no_more/never texts", "no more texts", "more texts"),
        ("stop ... texts", "stop all of the texts", "stop all of the many texts"),
        ("stop ... texts", "stop texts", "stop. texts"),
        ("stop {messages}", "stop text messages", "stop calls"),
        ("don't", "don’t", "do not"),
        ("aufhören", "aufhoeren", "aufhorchen"),
        ("aufhören", "aufhoren", "hören"),
    ],
)
def test_each_way_to_write_an_entry_matches_what_it_says_and_no_more(entry, yes, no):
    sections = {"messages": ["sms", "text messages"]}
    section = words.Section(dict.fromkeys(words._spellings("xx", entry, sections), "xx"))
    assert section.find(words.row(yes))
    assert section.find(words.row(no)) is None
