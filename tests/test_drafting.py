import re
import shutil
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from unicodedata import category
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker.disclosure import find
from reminder_worker.drafting import REPLY, Draft, Templates
from reminder_worker.errors import Reason, Refused, SettingsError
from reminder_worker.job import Level, parse_location
from reminder_worker.segments import Encoding, measure, plain, tidy
from reminder_worker.templates import shipped

TEMPLATES = Templates.load()
SHIPPED = ("ar", "de", "en", "es", "fr", "it", "nl", "pl", "pt", "ro", "tr", "uk")
TUESDAY = datetime(2027, 3, 16, 14, 30, tzinfo=ZoneInfo("Europe/Paris"))
PLACE_OF_30 = "12 Station Road, Northgate AB1"
NUMBER = "+442079460000"
DAYS = [TUESDAY + timedelta(days=3 * number, hours=number % 8) for number in range(122)]

HEALTH = re.compile(
    r"\bdr\b|doctor|docteur|doktor|doutor|dottor|m[eé]d[ie]c|praxis|praktijk|cabinet|consult|clini|klini|surgery|"
    r"hospi|ospedal|h[oô]pital|kranken|ziekenhuis|szpital|spital|hastane|hasta\b|pa[tc]ient|pazient|paciente|pacjent|"
    r"arzt|arts\b|lekarz|visit|wizyt|muayene|terap|therap|treat|trait|behand|лікар|лікув|пацієнт|візит|прийом|медич|"
    r"طبيب|طبي|مريض|عيادة|مستشفى|علاج|health|sant[eé]|gesund|salud|salute|sa[uú]de|gezond|zdrow|sa[gğ]l[i\u0131]k|"
    r"http|www",
    re.IGNORECASE,
)


def draft(**changed) -> Draft:
    wanted = {"language": "en", "when": TUESDAY, "location": "12 High St", "level": Level.PLACE, **changed}
    return TEMPLATES.draft(**wanted)


@pytest.mark.parametrize(
    ("language", "body"),
    [
        ("ar", "تذكير: لديكم موعد يوم الثلاثاء، 16 مارس، الساعة 2:30 م\n12 High St"),
        ("de", "Erinnerung: Ihr Termin ist am Dienstag, 16. März um 14:30 Uhr, 12 High St."),
        ("en", "Reminder: you have an appointment on Tuesday 16 March at 14:30, 12 High St."),
        ("es", "Recordatorio de su cita: martes, 16 de marzo, 14:30, 12 High St."),
        ("fr", "Rappel : vous avez rendez-vous le mardi 16 mars à 14:30, 12 High St."),
        ("it", "Promemoria: ha un appuntamento martedì 16 marzo alle 14:30, 12 High St."),
        ("nl", "Herinnering: u hebt een afspraak op dinsdag 16 maart om 14:30 uur, 12 High St."),
        ("pl", "Przypominamy o terminie: wtorek, 16 marca, godz. 14:30, 12 High St."),
        ("pt", "Compromisso: ter 16 de mar, 14:30, 12 High St."),
        ("ro", "Reamintire: programare marți, 16 martie, ora 14:30, 12 High St."),
        ("tr", "Randevunuz var: 16 Mart Sal\u0131, saat 14:30, 12 High St."),
        ("uk", "Нагадування про запис: вівторок, 16 березня, 14:30, 12 High St."),
    ],
)
def test_every_language_reads_as_written_down(language, body):
    assert draft(language=language).body == body


def test_all_languages_areshipped():
    assert TEMPLATES.languages == SHIPPED


@pytest.mark.parametrize(("language", "not_you"), [*product(SHIPPED, (None, REPLY, NUMBER))])
def test_a_text_with_a_place_of_30_characters_fits_one_segment(language, not_you):
    longer = (language, not_you) in {("uk", NUMBER), ("ar", REPLY), ("ar", NUMBER)}  # 70 characters are too few
    for when in DAYS:
        text = draft(language=language, when=when, location=PLACE_OF_30, not_you=not_you)
        assert text.segments == measure(text.body).count
        assert text.segments <= (2 if longer else 1)


@pytest.mark.parametrize("language", SHIPPED)
def test_a_text_without_a_place_fits_one_segment(language):
    for when, not_you in product(DAYS, (None, REPLY, NUMBER)):
        assert draft(language=language, when=when, level=Level.TIME, not_you=not_you).segments == 1


@pytest.mark.parametrize("language", sorted(set(SHIPPED) - {"uk", "ar"}))
def test_a_text_with_a_sender_fits_one_segment(language):
    for when, not_you in product(DAYS, (None, REPLY)):
        text = draft(
            language=language, when=when, location=PLACE_OF_30, level=Level.SENDER, sender="Northgate", not_you=not_you
        )
        assert text.segments == 1


@pytest.mark.parametrize("language", SHIPPED)
def test_no_text_holds_typography_or_words_of_health(language):
    places = ("12 High St", PLACE_OF_30, "12 High\u202fSt, l\u2019Aven\u00a0\u2013 \u201cB\u201d\u200e")
    for when, level, not_you, location in product(DAYS[::5], Level, (None, REPLY, NUMBER), places):
        body = draft(language=language, when=when, level=level, not_you=not_you, location=location).body
        assert not re.search("[\u00a0\u00ad\u061c\u2000-\u206f\ufeff{}]", body)
        assert not re.search(r"  |\.\.|,,|\.,|^\s|\s$", body)
        assert not HEALTH.search(body)
    for level in Level:
        assert not any(HEALTH.search(text.body) for text in TEMPLATES.preview(language, level).values())


def test_the_list_of_health_words_works():
    assert all(map(HEALTH.search, ("Dr Roux", "your consultation", "wizyta", "Ваш візит", "موعد الطبيب", "www.")))


def test_the_short_text_is_taken_where_the_long_one_does_not_fit():
    location = "Building 7, 1234 Station Road North, Northgate upon Water, Upper Floor, East"
    assert draft(location=location).body.startswith("Reminder: you have an appointment on Tuesday")
    longer = draft(location=location, not_you=REPLY)
    assert longer.body == f"Appointment: Tue 16 Mar 14:30, {location}. Not you? Reply STOP."
    assert longer.segments == 1


def test_accents_outside_the_alphabet_go_only_where_that_saves_a_segment():
    kept = draft(language="pl", location="ul. Długa 12, Kraków")
    assert kept == Draft("Termin: wt 16 mar, godz. 14:30, ul. Długa 12, Kraków.", 1)
    spelt = draft(language="pl", location="ul. Długa 12, Kraków", not_you=REPLY)
    assert "ul. Dluga 12, Krakow." in spelt.body
    assert spelt.segments == 1
    assert measure(spelt.body).encoding is Encoding.GSM7
    accents_of_the_alphabet = draft(language="fr", location="12 allée des Châtaigniers, Orléans", not_you=REPLY)
    assert "12 allée des Chataigniers, Orléans." in accents_of_the_alphabet.body


def test_the_long_text_is_spelt_plainly_before_the_short_one():
    location = "Budynek 7, ulica Długa 1234, Górny Mokotów, Warszawa"
    long = draft(language="pl", location=location)
    assert long.body == f"Przypominamy o terminie: wtorek, 16 marca, godz. 14:30, {plain(location)}."
    location += ", drugie pi\u0119tro po prawej stronie"
    short = draft(language="pl", location=location, not_you=NUMBER)
    assert short.body == f"Termin: wt 16 mar, godz. 14:30, {plain(location)}. Nie Pani/Pana? Tel. {NUMBER}."
    assert long.segments == short.segments == 1


def test_the_long_text_stays_where_the_short_one_saves_nothing():
    text = draft(language="ar", location=PLACE_OF_30, not_you=REPLY)
    assert text.segments == 2
    assert text.body.startswith("تذكير: لديكم")


def test_nothing_is_cut_off_where_no_text_fits_one_segment():
    location = "вулиця " + "Садова " * 10 + "12"
    text = draft(location=location)
    assert location in text.body
    assert text.segments == 2


PLACES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=80).filter(str.strip)
SEEN = PLACES.filter(lambda text: any(category(one)[0] in "LNPS" for one in text))  # marks alone are no place
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2040, 1, 1), timezones=st.just(ZoneInfo("Europe/Kyiv")))  # noqa: DTZ001
LANGUAGES = st.sampled_from([*SHIPPED, "en-US", "fr-CA", "es-MX", "pt-PT", "ar-MA"])


@given(SEEN.map(parse_location), MOMENTS, LANGUAGES, st.sampled_from([None, REPLY, NUMBER]))
def test_a_text_names_its_place_whole(location, when, language, not_you):
    text = draft(location=location, when=when, language=language, not_you=not_you)
    assert tidy(location) in text.body or (plain(tidy(location)) or "\0") in text.body


@given(PLACES, MOMENTS, LANGUAGES, st.sampled_from([None, REPLY, NUMBER]))
def test_at_the_level_of_time_the_place_changes_nothing(location, when, language, not_you):
    rest = {"when": when, "language": language, "not_you": not_you, "level": Level.TIME}
    assert draft(location=location, **rest) == draft(location="", **rest)


@given(MOMENTS)
def test_weekday_day_and_clock_are_those_of_the_appointments_zone(when):
    assert draft(when=when).body.startswith(
        f"Reminder: you have an appointment on {when:%A} {when.day} {when:%B} at {when:%H:%M},"
    )


@pytest.mark.parametrize(
    ("instant", "zone", "printed"),
    [
        (datetime(2027, 3, 28, 0, 59, tzinfo=UTC), "Europe/Paris", "Sunday 28 March at 01:59"),
        (datetime(2027, 3, 28, 1, 0, tzinfo=UTC), "Europe/Paris", "Sunday 28 March at 03:00"),
        (datetime(2027, 10, 31, 0, 30, tzinfo=UTC), "Europe/Paris", "Sunday 31 October at 02:30"),
        (datetime(2027, 10, 31, 1, 30, tzinfo=UTC), "Europe/Paris", "Sunday 31 October at 02:30"),
        (datetime(2027, 3, 17, 2, 0, tzinfo=UTC), "America/New_York", "Tuesday 16 March at 22:00"),
        (datetime(2027, 3, 16, 18, 0, tzinfo=UTC), "Asia/Kathmandu", "Tuesday 16 March at 23:45"),
    ],
)
def test_the_wall_clock_follows_daylight_saving(instant, zone, printed):
    assert printed in draft(when=instant.astimezone(ZoneInfo(zone))).body


@pytest.mark.parametrize(
    ("language", "long", "short"),
    [
        ("en-US", "Tuesday, March 16 at 2:30 PM", "Tue Mar 16 2:30 PM"),
        ("en-GB", "Tuesday 16 March at 14:30", "Tue 16 Mar 14:30"),
        ("EN-gb-oxendict", "Tuesday 16 March at 14:30", "Tue 16 Mar 14:30"),
        ("en-XX", "Tuesday 16 March at 14:30", "Tue 16 Mar 14:30"),
        ("fr-CA", "mardi 16 mars à 14 h 30", "mar 16 mars 14 h 30"),
        ("de-AT", "Dienstag, 16. März um 14:30 Uhr", "Di 16. März, 14:30 Uhr"),
        ("es-MX", "martes, 16 de marzo, 2:30 pm", "mar 16 de mar, 2:30 pm"),
        ("es-AR", "martes, 16 de marzo, 2:30 pm", "mar 16 mar, 2:30 pm"),
        ("pt-PT", "terça-feira, 16 de março, às 14:30", "terça 16/03, 14:30"),
        ("ar-MA", "الثلاثاء، 16 مارس، الساعة 14:30", "الثلاثاء 16 مارس 14:30"),
    ],
)
def test_a_region_keeps_its_dates(language, long, short):
    texts = TEMPLATES.preview(language, Level.PLACE)
    assert f" {long}" in texts["long"].body
    assert f": {short}" in texts["short"].body


@pytest.mark.parametrize(
    ("language", "day", "written"),
    [
        ("fr", 1, "le lundi 1er mars à 14:30"),
        ("fr-CA", 1, "le lundi 1er mars à 14 h 30"),
        ("fr", 11, "le jeudi 11 mars à"),
        ("it", 1, "lunedì 1 marzo alle"),
    ],
)
def test_the_first_of_a_month_is_an_ordinal_in_french(language, day, written):
    assert written in draft(language=language, when=datetime(2027, 3, day, 14, 30, tzinfo=UTC)).body


@pytest.mark.parametrize("language", ["zh-Hant", "xx", "", "-", "e", "../en", "fr_CA"])
def test_a_language_without_a_template_is_refused(language):
    with pytest.raises(Refused) as refusal:
        draft(language=language)
    assert refusal.value.reason is Reason.LANGUAGE_UNKNOWN
    assert refusal.value.field == "language"
    assert "zh" not in str(refusal.value)
    assert not TEMPLATES.speaks(language)


@pytest.mark.parametrize("language", [*SHIPPED, "en-US", "EN-gb-oxendict", "uk-Cyrl-UA"])
def test_a_language_with_a_template_is_known(language):
    assert TEMPLATES.speaks(language)
    assert draft(language=language).body


def test_a_sender_is_named_at_its_level_only():
    assert draft(level=Level.SENDER, sender="Northgate").body.startswith("Northgate: Reminder: ")
    assert "Northgate" not in draft(level=Level.PLACE, sender="Northgate").body
    assert "Northgate" not in draft(level=Level.TIME, sender="Northgate").body
    assert draft(level=Level.SENDER, sender=None) == draft()


def test_a_sender_does_not_turn_the_direction_of_arabic():
    assert draft(language="ar", level=Level.SENDER, sender="Northgate").body.startswith("Northgate:\nموعد")


@pytest.mark.parametrize("level", [Level.PLACE, Level.TIME])
def test_a_number_keeps_its_plus_in_front_in_arabic(level):
    texts = (draft(language="ar", level=level, location="12 High St" * many, not_you=NUMBER) for many in (1, 9))
    assert all(text.body.splitlines()[-1] == NUMBER for text in texts)  # beside Arabic letters it would be shown behind


def test_a_stranger_is_told_how_to_stop_the_texts():
    assert draft(not_you=REPLY).body.endswith("12 High St. Not for you? Reply STOP.")
    assert draft(not_you=NUMBER).body.endswith(f"12 High St. Not for you? Call {NUMBER}.")
    assert draft().body.endswith("12 High St.")


@pytest.mark.parametrize(
    "not_you", ["", "Reply", "0800 123", "+44 20", "call http://x.example", "+4420794600001234567"]
)
def test_any_other_way_to_stop_is_refused(not_you):
    with pytest.raises(SettingsError, match=r"^not_you: write reply, or a number") as refusal:
        draft(not_you=not_you)
    assert not not_you or not_you not in str(refusal.value)


def test_a_place_that_ends_in_a_full_stop_gets_no_second_one():
    assert draft(location="12 High St.").body.endswith("at 14:30, 12 High St.")
    assert draft(location="12 High St.", not_you=REPLY).body.endswith("12 High St. Not for you? Reply STOP.")


def test_a_place_is_never_read_as_a_template():
    assert "{date} {time.__class__} %s {" in draft(location="{date} {time.__class__} %s {").body


def test_a_draft_shows_no_text():
    assert re.fullmatch(r"Draft\(segments=1, edition='[0-9a-f]{16}'\)", repr(draft(sender="Northgate")))


def test_a_preview_shows_every_text_once():
    texts = TEMPLATES.preview("en", Level.SENDER, sender="Northgate")
    assert list(texts) == ["long", "short", "long, reply", "short, reply", "long, call", "short, call"]
    assert (
        texts["short, reply"].body == "Northgate: Appointment: Tue 16 Mar 14:30, 12 Station Road. Not you? Reply STOP."
    )
    assert len({text.body for text in texts.values()}) == 6


def test_the_words_of_a_language_are_given_without_values():
    words = TEMPLATES.words("en-US")
    assert words["place.short"] == "Appointment: , ."
    assert words["time reply"] == "Reminder: you have an appointment on at . Not for you? Reply STOP."
    assert words["help"].endswith("Reply STOP to get no more of them.")
    assert len(words) == 13
    assert not re.search(r"[0-9{}\n]", "".join("".join(TEMPLATES.words(tag).values()) for tag in SHIPPED))


# The answer to HELP


@pytest.mark.parametrize("language", SHIPPED)
def test_the_answer_to_help_names_stop_and_nothing_else_in_one_segment(language):
    answer = TEMPLATES.help(language)
    assert "STOP" in answer.body
    assert answer.segments == 1 == measure(answer.body).count
    assert language in {"uk", "ar"} or measure(answer.body).encoding is Encoding.GSM7
    assert not HEALTH.search(answer.body)
    assert find(answer.body) is None
    assert not re.search(r"[\n{}0-9]", answer.body)


def test_the_answer_to_help_is_there_in_the_nearest_language_and_else_in_english():
    assert TEMPLATES.help("fr-CA") == TEMPLATES.help("fr") != TEMPLATES.help("en")
    assert TEMPLATES.help("zh-Hant") == TEMPLATES.help("") == TEMPLATES.help("en")
    english = "This number sends appointment reminders. Reply STOP to get no more of them."
    assert TEMPLATES.help("en") == Draft(english, 1)


def test_the_answer_to_help_may_be_ones_own(tmp_path):
    own = ENGLISH.replace("This number sends", "Our number sends")
    assert Templates.load(folder_with(tmp_path, own)).help("en-US").body.startswith("Our number sends")


# Files of templates

ENGLISH = (shipped() / "en" / "reminder.txt").read_text("utf-8")


def folder_with(path: Path, text: str, language: str = "en") -> Path:
    (path / language).mkdir()
    (path / language / "reminder.txt").write_text(text, "utf-8")
    return path


def test_a_folder_of_ones_own_wins(tmp_path):
    folder_with(tmp_path, ENGLISH.replace("Reminder:", "Note:"))
    folder_with(tmp_path, ENGLISH, "sv")
    templates = Templates.load(tmp_path)
    rest = {"when": TUESDAY, "location": "12 High St", "level": Level.PLACE}
    assert templates.draft(language="en-US", **rest).body.startswith("Note: you have")
    assert templates.draft(language="fr", **rest) == draft(language="fr")
    assert templates.languages == tuple(sorted((*SHIPPED, "sv")))


def test_the_closest_template_is_taken(tmp_path):
    templates = Templates.load(folder_with(tmp_path, ENGLISH.replace("Reminder:", "Note:"), "en-AU"))
    rest = {"when": TUESDAY, "location": "12 High St", "level": Level.PLACE}
    assert templates.draft(language="en-au", **rest).body.startswith(
        "Note: you have an appointment on Tuesday, 16 March at 2:30 pm"
    )
    assert templates.draft(language="en-GB", **rest) == draft()


def test_lines_of_a_section_stay_lines_and_typography_is_made_plain(tmp_path):
    text = "[place]\n\n  {date}\u202f\u2013 {time},\n# note\n{not_you}\n{location}  \n\n[place.short]"
    changed = re.sub(r"(?s)\[place\].*?\[place.short\]", text, ENGLISH)
    templates = Templates.load(folder_with(tmp_path, changed))
    rest = {"language": "en", "when": TUESDAY, "location": "12 High St", "level": Level.PLACE}
    assert templates.draft(**rest).body == "Tuesday 16 March - 14:30,\n12 High St"
    assert templates.draft(**rest, not_you=REPLY).body == (
        "Tuesday 16 March - 14:30,\nNot for you? Reply STOP.\n12 High St"
    )


@pytest.mark.parametrize(
    ("section", "text", "problem"),
    [
        ("place", "Sesame {date} {time} {location} {not_you} {name}", "{name} is unknown here"),
        ("place", "Sesame {date} {time} {location} {not_you} {}", "a placeholder is unknown here"),
        ("place", "Sesame {date} {time} {location} {not_you} {Se Same}", "a placeholder is unknown here"),
        ("place", "Sesame {date} {time} {location} {not_you} {number}", "{number} is unknown here"),
        ("place", "Sesame {date} {time} {location} {not_you} {date}", "{date} is there twice"),
        ("place.short", "Sesame {date} {time} {not_you}", "{location} is missing"),
        ("place.short", "Sesame {date} {time} {location}", "{not_you} is missing"),
        ("time", "Sesame {date} {time} {not_you} {location}", "{location} is unknown here"),
        ("time.short", "Sesame {date} {not_you}", "{time} is missing"),
        ("time", "Sesame {date!r} {time} {not_you}", "write a placeholder as {name}, with nothing behind the name"),
        ("time", "Sesame {date:>9} {time} {not_you}", "write a placeholder as {name}, with nothing behind the name"),
        ("time", "Sesame {date:{time}} {not_you}", "write a placeholder as {name}, with nothing behind the name"),
        ("time", "Sesame {date.year} {time} {not_you}", "{date.year} is unknown here"),
        ("time", "Sesame {date[0]} {time} {not_you}", "a placeholder is unknown here"),
        ("time", "Sesame {date} {time} {not_you", "a brace has no partner"),
        ("time", "Sesame {date} {time} {not_you} }", "a brace has no partner"),
        ("time", "Sesame {date} {time} {{not_you}}", "braces may only stand around a placeholder"),
        ("help", "Sesame", "must name the word STOP"),
        ("help", "Sesame STOP {number}", "{number} is unknown here"),
        ("help", "", "is empty"),
        ("not_you.reply", "Sesame", "must name the word STOP"),
        ("not_you.reply.short", "Sesame", "must name the word STOP"),
        ("not_you.reply", "Sesame STOP {location}", "{location} is unknown here"),
        ("not_you.call", "Sesame", "{number} is missing"),
        ("not_you.call.short", "", "is empty"),
    ],
)
def test_a_wrong_text_is_refused_without_being_shown(tmp_path, section, text, problem):
    broken = re.sub(rf"(?<=\[{re.escape(section)}\]\n).*", lambda _: text, ENGLISH, count=1)
    with pytest.raises(SettingsError) as refusal:
        Templates.load(folder_with(tmp_path, broken))
    assert f"en/reminder.txt [{section}]" in str(refusal.value)
    assert str(refusal.value).endswith(problem)
    assert "Se" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ENGLISH + "[time]\nSesame", "en/reminder.txt: [time] is there twice"),
        (ENGLISH + "[title]\nSesame", "en/reminder.txt: [title] is unknown"),
        (ENGLISH + "[Sesame street]\nSesame", "en/reminder.txt: [a heading] is unknown"),
        ("Sesame\n" + ENGLISH, "en/reminder.txt: a text stands before the first [heading]"),
        (
            ENGLISH.partition("[not_you.call.short]")[0] + "[help]\nSTOP",
            "en/reminder.txt: [not_you.call.short] is missing",
        ),
        (ENGLISH.partition("[help]")[0], "en/reminder.txt: [help] is missing"),
        ("", "en/reminder.txt: [place] is missing"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, problem):
    with pytest.raises(SettingsError) as refusal:
        Templates.load(folder_with(tmp_path, text))
    assert str(refusal.value) == problem


def test_a_file_that_is_no_text_is_refused(tmp_path):
    folder_with(tmp_path, "")
    (tmp_path / "en" / "reminder.txt").write_bytes(b"[place]\nSesame \xff")
    with pytest.raises(SettingsError, match="cannot be read as UTF-8") as refusal:
        Templates.load(tmp_path)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("language", ["qq", "not a language", "xx-YY"])
def test_a_language_whose_dates_are_unknown_is_refused(tmp_path, language):
    with pytest.raises(SettingsError, match="is no language whose dates are known"):
        Templates.load(folder_with(tmp_path, ENGLISH, language))


def test_a_folder_without_templates_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"there is no <language>/reminder\.txt"):
        Templates.load(tmp_path)


def test_theshipped_templates_are_found_installed_and_in_a_checkout(tmp_path):
    package = tmp_path / "reminder_worker"
    package.mkdir()
    with pytest.raises(SettingsError, match="the shipped ones are missing"):
        shipped(package)
    shutil.copytree(shipped(), tmp_path / "templates")
    assert shipped(package) == tmp_path / "templates"
    shutil.copytree(shipped(), package / "templates")
    assert shipped(package) == package / "templates"


def test_the_year_is_left_out():
    assert "2027" not in "".join(draft(language=language, when=TUESDAY).body for language in SHIPPED)


def test_the_edition_names_all_texts_and_tells_no_language(tmp_path):
    editions = {draft(language=language).edition for language in SHIPPED}
    assert editions == {Templates.load().edition}
    assert re.fullmatch(r"[0-9a-f]{16}", Templates.load().edition)
    assert Templates.load(folder_with(tmp_path, ENGLISH)).edition in editions  # the same words
    (tmp_path / "en" / "reminder.txt").write_text(ENGLISH.replace("Reminder:", "Note:"), "utf-8")
    assert Templates.load(tmp_path).edition not in editions
