"""Institutions whose name alone tells why somebody goes there, and the streets that are called like them."""

# ruff: noqa: E501 - lists of names, several to a line

import pytest

from reminder_worker import disclosure, stems
from reminder_worker.disclosure import Severity

NAMES = {
    "FR": """Hôpital Sainte-Anne, 1 rue Cabanis|Centre hospitalier Sainte-Anne|GHU Paris|Gustave Roussy|Institut Curie|Institut Paoli-Calmettes
        |Centre Léon Bérard|Centre Antoine-Lacassagne|Centre François Baclesse|Centre Henri-Becquerel|Institut Bergonié|Centre Eugène Marquis
        |CH Le Vinatier|Hôpital Paul Guiraud|EPS de Ville-Evrard|Centre hospitalier Charles Perrens|Hôpital Marmottan|EPSM Lille|Maison de Solenn
        |Hôpital Necker|Hôpital Robert-Debré|Hôpital des Quinze-Vingts|Fondation Lenval|Hôpital Port-Royal|Maison Jeanne Garnier""",
    "DE": """LVR-Klinik Bonn|LWL-Klinik Münster|Vitos Klinik Hadamar|ZfP Südwürttemberg|Bezirkskrankenhaus Haar|Oberberg Klinik Berlin
        |Klinikum am Weissenhof|Klinik Hohe Mark|pro familia Berlin|donum vitae Köln|Dr. von Haunersches Kinderspital|Olgahospital|Thoraxklinik""",
    "AT": """Otto-Wagner-Spital|Anton-Proksch-Institut|Christian-Doppler-Klinik|Landesklinikum Mauer|Neuromed Campus|LKH Rankweil|Gynmed
        |Ambulatorium am Fleischmarkt|MedAustron|St. Anna Kinderspital|Semmelweis Frauenklinik""",
    "CH": """Burghölzli|UPK Basel|Klinik Littenheid|Clienia Schlössli|Sanatorium Kilchberg|Klinik Meiringen|Hôpital de Cery|Clinique de Belle-Idée
        |Checkpoint Zürich|Hôpital ophtalmique Jules-Gonin|Schulthess Klinik""",
    "GB": """The Royal Marsden|Clatterbridge Hospital|Velindre University NHS Trust|Maggie's Centre|Maudsley Hospital|Priory Hospital Roehampton
        |Bethlem Royal|56 Dean Street|Dean Street Express|Burrell Street Clinic|Mortimer Market Centre|Jefferiss Wing|Sandyford Central|bpas Leamington|MSI Reproductive Choices|Moorfields
        |Alder Hey Children's|Evelina London Children's|Great Ormond Street Hospital|Royal Papworth|Children's Hospital""",
    "IE": """Rotunda Hospital|The Coombe Hospital|Holles Street Hospital|St Patrick's University Hospital|St John of God Hospital|Rutland Centre
        |Well Woman Centre|Temple Street Children's|Temple Street Hospital|Cappagh Hospital|St Luke's Hospital Rathgar""",
    "US": """Memorial Sloan Kettering|MD Anderson|Dana-Farber|Fred Hutch|McLean Hospital|Sheppard Pratt|Betty Ford Center|Planned Parenthood
        |Whitman-Walker|Carafem|St. Jude Children's|Boston Children's|Shriners Hospital|Bascom Palmer|Joslin Clinic""",
    "ES": """MD Anderson Madrid|Hospital Duran i Reynals|Institut Pere Mata|Hospital Dr. Rodríguez Lafora|Centro Benito Menni|Proyecto Hombre
        |Centro Sanitario Sandoval|Clínica Dator|IVI Valencia|Hospital del Niño Jesús|Fundació Puigvert|Clínica Barraquer|Institut Guttmann""",
    "IT": """Istituto Regina Elena|IEO Milano|Istituto Pascale|Comunità San Patrignano|Istituto Spallanzani|Clinica Mangiagalli|Ospedale Bambino Gesù
        |Ospedale Meyer|Istituto Giannina Gaslini|Istituto Rizzoli|Istituto Besta|Centro Monzino""",
    "PT": """IPO Lisboa|IPO do Porto, IPO Porto|Fundação Champalimaud|Hospital Júlio de Matos|Hospital de Magalhães Lemos|Hospital Sobral Cid
        |Clínica dos Arcos|Hospital Dona Estefânia|Instituto Gama Pinto""",
    "NL": """Antoni van Leeuwenhoek|Prinses Máxima Centrum|Parnassia|Altrecht|Reinier van Arkel|Jellinek|Tactus|IrisZorg|Fiom|Kliniek Bloemenhove
        |WKZ|Sint Maartenskliniek|Kempenhaeghe""",
    "BE": """Institut Jules Bordet|Clinique Sanatia|Clinique Fond'Roy|Centre hospitalier Jean Titeca|UPC KU Leuven|Hôpital Reine Fabiola|HUDERF""",
    "PL": """Szpital im. dr. J. Babińskiego|Szpital w Tworkach|Szpital Drewnica|MONAR|Centrum Zdrowia Dziecka|Instytut Matki i Dziecka|Klinika Invicta""",
}
STREETS = """1 rue Sainte-Anne, Paris|Place Esquirol, Toulouse|12 rue Esquirol|4 rue Charcot|Rue Charles Perrens|12 rue Philippe Pinel|Avenue Robert Debré
    |Rue Edouard Toulouse|Boulevard de Port-Royal|Chemin de Belle-Idée 2|3 rue du Vinatier|Rue Léon Bérard|Rue Jean Perrin|Rue Henri Becquerel|Rue Paul Strauss
    |Avenue Jules Bordet 140|Avenue Jules-Gonin 5, Lausanne|Rue Armand Trousseau|Rue Necker|Rue François Rabelais|Rue de la Borde|Avenue de Ville-Evrard
    |Karl-Jaspers-Straße 4|Wagner-Jauregg-Weg 1|Otto-Wagner-Platz|Semmelweisstraße 3|Auf der Bult 4|Oberberg 3|Maistraße 11|Klinikstraße 2|Hufelandstraße 9
    |Königsfelden 1|Waldauweg 2|Schlösslistrasse 3|Burghölzliweg 4|Fleischmarkt 26, Wien|Steinhofstraße 3
    |Dean Street, London|55 Dean Street|156 Dean Street|Burrell Street|Sandyford Road, Dublin|Velindre Road, Cardiff|Priory Road|Christie Street|Maudsley Street
    |Springfield University|Papworth Everard|12 Papworth Road|Tavistock Square|Rotunda Square|The Coombe, Dublin|Holles Street|Temple Street|Merchants Quay, Cork
    |Fulbourn Road|Nightingale Lane|Hazelden Road|Betty Ford Street|Anderson Street|Payne Whitney Gymnasium|Hutchinson Street
    |Carrer de Pere Mata|Calle Benito Menni 2|Plaza del Niño Jesús|Avenida del Niño Jesús 4|Calle Sandoval 3|Calle Montesa 22|Carrer de Barraquer
    |Via Regina Elena 4|Viale Regina Elena 324, Roma|Via Mangiagalli 3|Via Lazzaro Spallanzani|Via Carlo Besta|Via Meyer|Via Gaetano Pini|Via Gaslini 5
    |Rua Magalhães Lemos|Avenida Júlio de Matos|Rua Miguel Bombarda|Rua Dona Estefânia|Rua Maria Pia|Rua Sobral Cid|Rua de Santa Marta
    |Antoni van Leeuwenhoekstraat 4|Antonie van Leeuwenhoeklaan 9|Reinier van Arkelstraat|Jellinekgasse 3|Parnassusweg 2|Prinses Máximastraat
    |ul. Babińskiego 29, Kraków|ul. Karowa 2|ul. Zakopiańska 4|Avenue Reine Fabiola|Koningin Fabiolalaan 2|Dr. Guislainstraat 43"""


def words(text: str) -> list[str]:
    return [one.strip() for one in text.split("|")]


@pytest.mark.parametrize("label", [name for country in NAMES.values() for name in words(country)])
def test_a_place_whose_name_tells_it_all_is_refused(label: str) -> None:
    found = disclosure.find(label)
    assert found is not None
    assert found.severity is Severity.REFUSE


@pytest.mark.parametrize("street", words(STREETS))
def test_a_street_that_is_called_like_an_institution_is_none(street: str) -> None:
    assert not disclosure.discloses(street)


def test_every_country_has_a_list_that_matters() -> None:
    listed = {name.partition("/")[2]: text for name, text in stems.texts() if name.startswith("institutions/")}
    assert listed.keys() == NAMES.keys()
    known = stems.load().names
    for country in listed:
        assert any(name.startswith(f"institutions/{country}/A/") for name in known)


@pytest.mark.parametrize("country", NAMES)
def test_without_its_list_names_of_a_country_would_pass(country: str) -> None:
    """Each list finds what no word of any language would."""
    only = [name for name in words(NAMES[country]) if (disclosure.find(name) or NONE).rule.startswith("institutions/")]
    assert len(only) >= len(words(NAMES[country])) // 3


NONE = disclosure.Finding("", Severity.WARN)
