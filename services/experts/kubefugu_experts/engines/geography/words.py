"""Other names of places, adjectives of countries, capitals of US states, names of languages; the vocabulary of questions."""

from __future__ import annotations

ALIASES = {
    "US": "usa,u s a,u s,the states,america,united states of america,the us,us of a,the usa",
    "GB": "uk,u k,britain,great britain,united kingdom of great britain and northern ireland",
    "NL": "netherlands,holland,kingdom of the netherlands", "CZ": "czech republic", "CI": "cote divoire,ivory coast",
    "CD": "drc,dr congo,congo kinshasa,democratic republic of congo,zaire", "CG": "congo,congo brazzaville,republic of congo",
    "MM": "burma", "SZ": "swaziland", "MK": "macedonia", "CV": "cape verde", "TL": "east timor,timor leste",
    "VA": "vatican city,holy see,vatican city state", "KR": "republic of korea,s korea", "KP": "dprk,n korea,democratic peoples republic of korea",
    "RU": "russian federation", "TR": "turkiye", "AE": "uae,emirates,u a e", "FM": "federated states of micronesia",
    "PS": "palestine,state of palestine", "SY": "syrian arab republic", "LA": "lao,lao peoples democratic republic",
    "BN": "brunei darussalam", "VN": "viet nam", "IR": "islamic republic of iran,persia", "BO": "plurinational state of bolivia",
    "VE": "bolivarian republic of venezuela", "TZ": "united republic of tanzania", "MD": "republic of moldova", "MO": "macau",
    "CN": "peoples republic of china,prc,mainland china", "TW": "republic of china", "BA": "bosnia", "TT": "trinidad",
    "KN": "st kitts and nevis,saint kitts", "LC": "st lucia", "VC": "st vincent and the grenadines,saint vincent",
    "ST": "sao tome", "AG": "antigua", "CF": "car", "ZA": "rsa,republic of south africa", "NZ": "aotearoa,nz", "IE": "republic of ireland,eire",
    "GM": "the gambia", "BS": "the bahamas", "PH": "the philippines", "SA": "kingdom of saudi arabia,ksa", "AX": "aland",
    "PG": "png", "SB": "solomon islands,the solomons", "SC": "the seychelles", "MV": "the maldives", "LK": "ceylon", "EH": "sahrawi republic",
    "FK": "falklands,malvinas", "RE": "la reunion", "CH": "swiss confederation", "GR": "hellenic republic", "DE": "federal republic of germany",
    "MX": "united mexican states", "JP": "nippon", "GW": "guinea bissau", "VI": "us virgin islands", "MP": "northern marianas",
}  # fmt: skip
"""ISO code -> further names, folded."""

ADJECTIVES = dict(
    pair.split("=")
    for pair in """
    afghan=AF albanian=AL algerian=DZ american=US angolan=AO argentine=AR argentinian=AR armenian=AM australian=AU austrian=AT
    azerbaijani=AZ bahraini=BH bangladeshi=BD belarusian=BY belgian=BE bolivian=BO bosnian=BA brazilian=BR british=GB bulgarian=BG
    cambodian=KH cameroonian=CM canadian=CA chilean=CL chinese=CN colombian=CO croatian=HR cuban=CU cypriot=CY czech=CZ danish=DK
    dutch=NL ecuadorian=EC egyptian=EG estonian=EE ethiopian=ET finnish=FI french=FR georgian=GE german=DE ghanaian=GH greek=GR
    guatemalan=GT haitian=HT honduran=HN hungarian=HU icelandic=IS indian=IN indonesian=ID iranian=IR iraqi=IQ irish=IE israeli=IL
    italian=IT jamaican=JM japanese=JP jordanian=JO kazakh=KZ kenyan=KE kuwaiti=KW kyrgyz=KG laotian=LA latvian=LV lebanese=LB
    libyan=LY lithuanian=LT malaysian=MY maltese=MT mexican=MX moldovan=MD mongolian=MN moroccan=MA mozambican=MZ namibian=NA
    nepalese=NP nepali=NP nicaraguan=NI nigerian=NG norwegian=NO omani=OM pakistani=PK panamanian=PA paraguayan=PY peruvian=PE
    philippine=PH filipino=PH polish=PL portuguese=PT qatari=QA romanian=RO russian=RU rwandan=RW saudi=SA senegalese=SN serbian=RS
    singaporean=SG slovak=SK slovenian=SI somali=SO spanish=ES sudanese=SD swedish=SE swiss=CH syrian=SY taiwanese=TW tanzanian=TZ
    thai=TH tunisian=TN turkish=TR ugandan=UG ukrainian=UA uruguayan=UY uzbek=UZ venezuelan=VE vietnamese=VN yemeni=YE zambian=ZM
    zimbabwean=ZW
    """.split()
)

CONTINENTS = {
    "africa": "AF", "asia": "AS", "europe": "EU", "north america": "NA", "oceania": "OC", "south america": "SA", "antarctica": "AN",
    "african": "AF", "asian": "AS", "european": "EU", "north american": "NA", "south american": "SA", "oceanian": "OC",
    "australia and oceania": "OC", "the european continent": "EU",
}  # fmt: skip

STATE_CAPITALS = dict(
    pair.split(":")
    for pair in (
        "AL:Montgomery,AK:Juneau,AZ:Phoenix,AR:Little Rock,CA:Sacramento,CO:Denver,CT:Hartford,DE:Dover,FL:Tallahassee,GA:Atlanta,"
        "HI:Honolulu,ID:Boise,IL:Springfield,IN:Indianapolis,IA:Des Moines,KS:Topeka,KY:Frankfort,LA:Baton Rouge,ME:Augusta,"
        "MD:Annapolis,MA:Boston,MI:Lansing,MN:Saint Paul,MS:Jackson,MO:Jefferson City,MT:Helena,NE:Lincoln,NV:Carson City,"
        "NH:Concord,NJ:Trenton,NM:Santa Fe,NY:Albany,NC:Raleigh,ND:Bismarck,OH:Columbus,OK:Oklahoma City,OR:Salem,PA:Harrisburg,"
        "RI:Providence,SC:Columbia,SD:Pierre,TN:Nashville,TX:Austin,UT:Salt Lake City,VT:Montpelier,VA:Richmond,WA:Olympia,"
        "WV:Charleston,WI:Madison,WY:Cheyenne"
    ).split(",")
)
"""Not in GeoNames' country data: the fifty capitals."""

HOME_NATIONS = {"england": "London", "scotland": "Edinburgh", "wales": "Cardiff", "northern ireland": "Belfast"}

CAPITAL_NOTES = {"KZ": "Astana (named Nur-Sultan from 2019 to 2022)", "US": "Washington, D.C."}
"""Capitals that GeoNames' data writes differently from what people expect."""

LANGUAGES = dict(
    pair.split("=")
    for pair in """
    en=English fr=French es=Spanish ar=Arabic ru=Russian pt=Portuguese de=German zh=Chinese cmn=Chinese it=Italian nl=Dutch
    hu=Hungarian hy=Armenian sr=Serbian sq=Albanian tr=Turkish ms=Malay fa=Persian uz=Uzbek da=Danish ku=Kurdish sw=Swahili
    el=Greek sm=Samoan hr=Croatian sv=Swedish az=Azerbaijani bs=Bosnian ur=Urdu ln=Lingala kg=Kongo ta=Tamil pl=Polish ca=Catalan
    hi=Hindi tk=Turkmen to=Tongan sl=Slovenian bn=Bengali qu=Quechua ay=Aymara mi=Maori yue=Cantonese sk=Slovak so=Somali
    fo=Faroese fi=Finnish ee=Ewe wo=Wolof id=Indonesian gil=Gilbertese ko=Korean zu=Zulu xh=Xhosa lt=Lithuanian ro=Romanian
    fil=Filipino tl=Tagalog af=Afrikaans ha=Hausa no=Norwegian nb=Norwegian se=Sami tg=Tajik ps=Pashto bg=Bulgarian rn=Kirundi
    dz=Dzongkha tn=Tswana be=Belarusian cs=Czech et=Estonian gl=Galician eu=Basque am=Amharic om=Oromo ti=Tigrinya fj=Fijian
    ka=Georgian ak=Akan kl=Greenlandic ht=Haitian_Creole jv=Javanese ga=Irish he=Hebrew te=Telugu is=Icelandic ja=Japanese
    ky=Kyrgyz km=Khmer kk=Kazakh lo=Lao si=Sinhala lb=Luxembourgish lv=Latvian mg=Malagasy mh=Marshallese mk=Macedonian
    my=Burmese mn=Mongolian mt=Maltese dv=Dhivehi ny=Chichewa yo=Yoruba ig=Igbo ne=Nepali na=Nauruan rw=Kinyarwanda sn=Shona
    ss=Swazi st=Sotho th=Thai uk=Ukrainian vi=Vietnamese bi=Bislama la=Latin sg=Sango aa=Afar ch=Chamorro ho=Hiri_Motu
    tpi=Tok_Pisin gn=Guarani tet=Tetum pau=Palauan tvl=Tuvaluan pap=Papiamento crs=Seychellois_Creole cy=Welsh gd=Scottish_Gaelic
    nd=Ndebele tkl=Tokelauan niu=Niuean ty=Tahitian hnj=Hmong rm=Romansh
    """.split()
)

CURRENCIES = {
    "pound sterling": "GBP", "british pound": "GBP", "pounds sterling": "GBP", "us dollar": "USD", "us dollars": "USD",
    "american dollar": "USD", "swiss franc": "CHF", "yuan": "CNY", "renminbi": "CNY", "yen": "JPY", "euro": "EUR", "euros": "EUR",
    "japanese yen": "JPY", "indian rupee": "INR", "russian ruble": "RUB", "mexican peso": "MXN", "canadian dollar": "CAD",
    "australian dollar": "AUD", "bolivar": "VES", "boliviano": "BOB", "new zealand dollar": "NZD", "chinese yuan": "CNY",
    "swedish krona": "SEK", "norwegian krone": "NOK", "danish krone": "DKK", "south korean won": "KRW", "turkish lira": "TRY",
}  # fmt: skip

VOCABULARY = frozenset(
    """PLACE CONTINENT CURRENCY CODE a an the of in on at to from for by with as and or than that this it its their there then if
    is are was were be been being will would does do did has have had can could should what which who where how many much far long
    city cities town country countries nation nations state states capital capitals national seat government located lies lie
    situated found name named called names official main current currently population populations populous populated inhabitants
    residents people persons live lives living reside citizens inhabit number total count area areas surface size land big large
    larger largest biggest bigger small smaller smallest most least more less fewer greater greatest highest lowest compared
    compare versus vs between rank ranked first second third top world worlds globe earth square kilometers kilometres km km2 km²
    sq sqkm currency currencies money legal tender uses use used using pay spend with spent accept accepts adopted iso code codes
    alpha 2 3 two three letter letters alpha2 alpha3 iso2 iso3 3166 abbreviation abbreviated country's city's state's nation's
    capital's its calling dialing dialling dial dialed phone telephone prefix international call calls tld domain internet top level
    web website websites ending ends suffix extension numeric neighbor neighbors neighbour neighbours neighboring neighbouring
    border borders bordering bordered adjacent touches touch share shares sharing common next land-locked surround surrounds
    surrounding language languages speak speaks spoken tongue continent continents part belong belongs belonging lie within inside
    member located? timezone timezones time zone zones coordinates latitude longitude latitudes longitudes position distance apart
    away kilometer mile miles straight line us usa american five ten four 5 10 4 1 list all any each every every? one ones
    tell give say answer know identify find state whose having serves serve serving function functions act acts known considered
    goes go into exactly about approximately roughly around overall whole entire given please right true false yes no not
    also both either respectively following these those they have's and/or modern present day today most-populous urban
    metropolitan sized quiz trivia fact geography geographically globally worldwide region place places side sits sit does't
    beginning starting starts start corresponds correspond corresponding stands stand represents represent refers refer belongs
    assigned denote denotes short form its's another other than same home headquarters there's here official's you i we us me my
    visit? postal abbreviations usps sovereign independent administrative political center centre nation's metropolis
    municipality which's big-city least-populous largest-by-area by-area by-population populations' more-populous person used in walk straight directly drive cross without crossing
    dollars? units unit standard exchange circulates circulate circulation monetary coin coins banknotes notes native primary
    primarily mostly mainly official-language""".split()
)
"""Every word that a geography question may hold. One word outside it, and the question is somebody else's."""
