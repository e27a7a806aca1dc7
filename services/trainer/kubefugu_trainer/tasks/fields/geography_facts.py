"""A hand-written table of countries and cities: the generators' own knowledge, checked against no engine.

Sources: UN member states, ISO 3166-1 and ISO 4217 codes; land borders as commonly listed (not all of them); populations rounded
to two digits (2020-2023).
"""

from __future__ import annotations

from typing import NamedTuple


class Country(NamedTuple):
    """Facts of one country."""

    name: str
    capital: str
    continent: str
    currency: tuple[str, ...]
    iso2: str
    population_millions: float
    neighbours: tuple[str, ...]


_ROWS = """
France|Paris|Europe|euro,EUR|FR|68|Spain,Germany,Italy,Belgium,Switzerland
Germany|Berlin|Europe|euro,EUR|DE|84|France,Poland,Austria,Denmark,Switzerland
Italy|Rome|Europe|euro,EUR|IT|59|France,Austria,Slovenia,Switzerland
Spain|Madrid|Europe|euro,EUR|ES|48|Portugal,France,Andorra
Portugal|Lisbon|Europe|euro,EUR|PT|10|Spain
Poland|Warsaw|Europe|zloty,PLN|PL|37|Germany,Ukraine,Slovakia,Belarus
Austria|Vienna|Europe|euro,EUR|AT|9|Germany,Italy,Hungary,Slovakia
Switzerland|Bern|Europe|franc,CHF|CH|8.8|France,Germany,Italy,Austria
Belgium|Brussels|Europe|euro,EUR|BE|11.7|France,Germany,Luxembourg
Denmark|Copenhagen|Europe|krone,DKK|DK|5.9|Germany
Norway|Oslo|Europe|krone,NOK|NO|5.5|Sweden,Finland,Russia
Sweden|Stockholm|Europe|krona,SEK|SE|10.5|Norway,Finland
Finland|Helsinki|Europe|euro,EUR|FI|5.6|Sweden,Norway,Russia
Ireland|Dublin|Europe|euro,EUR|IE|5.1|United Kingdom
Greece|Athens|Europe|euro,EUR|GR|10.4|Albania,Bulgaria,Turkey
Hungary|Budapest|Europe|forint,HUF|HU|9.6|Austria,Romania,Serbia,Slovakia
Romania|Bucharest|Europe|leu,RON|RO|19|Hungary,Bulgaria,Ukraine,Serbia
Bulgaria|Sofia|Europe|lev,BGN,euro|BG|6.5|Romania,Greece,Serbia,Turkey
Croatia|Zagreb|Europe|euro,EUR,kuna|HR|3.9|Slovenia,Hungary,Serbia
Serbia|Belgrade|Europe|dinar,RSD|RS|6.7|Hungary,Romania,Bulgaria,Croatia
Slovakia|Bratislava|Europe|euro,EUR|SK|5.4|Austria,Hungary,Poland,Ukraine
Slovenia|Ljubljana|Europe|euro,EUR|SI|2.1|Italy,Austria,Hungary,Croatia
Ukraine|Kyiv|Europe|hryvnia,UAH|UA|40|Poland,Romania,Russia,Belarus
Iceland|Reykjavik|Europe|krona,ISK|IS|0.38|
Estonia|Tallinn|Europe|euro,EUR|EE|1.3|Latvia,Russia
Latvia|Riga|Europe|euro,EUR|LV|1.9|Estonia,Lithuania,Russia
Lithuania|Vilnius|Europe|euro,EUR|LT|2.8|Latvia,Poland,Belarus
Albania|Tirana|Europe|lek,ALL|AL|2.8|Greece,Montenegro
Malta|Valletta|Europe|euro,EUR|MT|0.52|
Russia|Moscow|Europe|ruble,rouble,RUB|RU|144|Finland,Ukraine,China,Mongolia,Kazakhstan
United Kingdom|London|Europe|pound,GBP|GB|67|Ireland
Japan|Tokyo|Asia|yen,JPY|JP|125|
China|Beijing|Asia|yuan,renminbi,CNY|CN|1400|India,Russia,Mongolia,Vietnam,Nepal
India|New Delhi|Asia|rupee,INR|IN|1400|China,Pakistan,Nepal,Bangladesh
South Korea|Seoul|Asia|won,KRW|KR|52|North Korea
Mongolia|Ulaanbaatar|Asia|tugrik,tugrug,togrog,MNT|MN|3.4|China,Russia
Thailand|Bangkok|Asia|baht,THB|TH|70|Laos,Cambodia,Malaysia
Vietnam|Hanoi|Asia|dong,VND|VN|98|China,Laos,Cambodia
Cambodia|Phnom Penh|Asia|riel,riels,KHR|KH|17|Thailand,Vietnam,Laos
Laos|Vientiane|Asia|kip,LAK|LA|7.5|Thailand,Vietnam,China,Cambodia
Malaysia|Kuala Lumpur|Asia|ringgit,MYR|MY|33|Thailand,Indonesia,Brunei
Indonesia|Jakarta|Asia|rupiah,IDR|ID|275|Malaysia,Papua New Guinea
Philippines|Manila|Asia|peso,PHP|PH|114|
Nepal|Kathmandu|Asia|rupee,NPR|NP|30|India,China
Bangladesh|Dhaka|Asia|taka,BDT|BD|170|India
Pakistan|Islamabad|Asia|rupee,PKR|PK|235|India,Iran,Afghanistan,China
Afghanistan|Kabul|Asia|afghani,AFN|AF|40|Pakistan,Iran,China
Iran|Tehran|Asia|rial,IRR|IR|88|Iraq,Turkey,Pakistan,Afghanistan
Iraq|Baghdad|Asia|dinar,IQD|IQ|43|Iran,Turkey,Syria,Kuwait
Saudi Arabia|Riyadh|Asia|riyal,rial,SAR|SA|36|Iraq,Kuwait,Yemen,Jordan
Jordan|Amman|Asia|dinar,JOD|JO|11|Iraq,Saudi Arabia,Syria,Israel
Lebanon|Beirut|Asia|pound,LBP|LB|5.5|Syria,Israel
Qatar|Doha|Asia|riyal,rial,QAR|QA|2.7|Saudi Arabia
Oman|Muscat|Asia|rial,OMR|OM|4.6|Yemen,Saudi Arabia
Kazakhstan|Astana|Asia|tenge,KZT|KZ|19|Russia,China,Uzbekistan
Uzbekistan|Tashkent|Asia|som,sum,UZS|UZ|35|Kazakhstan,Tajikistan
Egypt|Cairo|Africa|pound,EGP|EG|110|Libya,Sudan,Israel
Morocco|Rabat|Africa|dirham,MAD|MA|37|Algeria
Algeria|Algiers|Africa|dinar,DZD|DZ|44|Morocco,Tunisia,Libya,Mali,Niger
Tunisia|Tunis|Africa|dinar,TND|TN|12|Algeria,Libya
Libya|Tripoli|Africa|dinar,LYD|LY|6.8|Egypt,Tunisia,Algeria,Chad
Sudan|Khartoum|Africa|pound,SDG|SD|47|Egypt,Ethiopia,Chad
Ethiopia|Addis Ababa|Africa|birr,ETB|ET|123|Kenya,Sudan,Somalia,Eritrea
Kenya|Nairobi|Africa|shilling,KES|KE|54|Ethiopia,Tanzania,Uganda,Somalia
Uganda|Kampala|Africa|shilling,UGX|UG|47|Kenya,Tanzania,Rwanda
Rwanda|Kigali|Africa|franc,RWF|RW|13.8|Uganda,Tanzania,Burundi
Ghana|Accra|Africa|cedi,GHS|GH|33|Togo,Burkina Faso
Nigeria|Abuja|Africa|naira,NGN|NG|218|Benin,Niger,Chad,Cameroon
Senegal|Dakar|Africa|franc,XOF|SN|17|Mali,Mauritania,Guinea
Angola|Luanda|Africa|kwanza,AOA|AO|35|Namibia,Zambia
Zambia|Lusaka|Africa|kwacha,ZMW|ZM|20|Angola,Zimbabwe,Tanzania
Zimbabwe|Harare|Africa|dollar,ZWL,ZiG|ZW|16|Zambia,Botswana,Mozambique,South Africa
Namibia|Windhoek|Africa|dollar,NAD|NA|2.6|Angola,Botswana,South Africa
Madagascar|Antananarivo|Africa|ariary,MGA|MG|30|
Mozambique|Maputo|Africa|metical,MZN|MZ|33|Tanzania,Zimbabwe,South Africa
Somalia|Mogadishu|Africa|shilling,SOS|SO|17|Kenya,Ethiopia
Canada|Ottawa|North America|dollar,CAD|CA|39|United States
United States|Washington|North America|dollar,USD|US|335|Canada,Mexico
Mexico|Mexico City|North America|peso,MXN|MX|128|United States,Guatemala,Belize
Cuba|Havana|North America|peso,CUP|CU|11|
Jamaica|Kingston|North America|dollar,JMD|JM|2.8|
Costa Rica|San Jose|North America|colon,CRC|CR|5.2|Panama,Nicaragua
Panama|Panama City|North America|balboa,PAB|PA|4.4|Costa Rica,Colombia
Honduras|Tegucigalpa|North America|lempira,HNL|HN|10|Guatemala,Nicaragua,El Salvador
Nicaragua|Managua|North America|cordoba,NIO|NI|7|Honduras,Costa Rica
Haiti|Port-au-Prince|North America|gourde,HTG|HT|11.6|Dominican Republic
Brazil|Brasilia|South America|real,BRL|BR|215|Argentina,Peru,Colombia,Uruguay,Paraguay
Argentina|Buenos Aires|South America|peso,ARS|AR|46|Chile,Brazil,Uruguay,Paraguay,Bolivia
Chile|Santiago|South America|peso,CLP|CL|19.6|Argentina,Peru,Bolivia
Peru|Lima|South America|sol,PEN|PE|34|Chile,Brazil,Ecuador,Colombia,Bolivia
Colombia|Bogota|South America|peso,COP|CO|52|Venezuela,Ecuador,Peru,Brazil,Panama
Venezuela|Caracas|South America|bolivar,VES,VEF|VE|28|Colombia,Brazil,Guyana
Ecuador|Quito|South America|dollar,USD|EC|18|Colombia,Peru
Uruguay|Montevideo|South America|peso,UYU|UY|3.4|Argentina,Brazil
Paraguay|Asuncion|South America|guarani,PYG|PY|6.8|Argentina,Brazil,Bolivia
Suriname|Paramaribo|South America|dollar,SRD|SR|0.62|Guyana,Brazil
Australia|Canberra|Oceania|dollar,AUD|AU|26|
New Zealand|Wellington|Oceania|dollar,NZD|NZ|5.1|
Fiji|Suva|Oceania|dollar,FJD|FJ|0.93|
Papua New Guinea|Port Moresby|Oceania|kina,PGK|PG|10|Indonesia
"""

COUNTRIES: tuple[Country, ...] = tuple(
    Country(name, capital, continent, tuple(money.split(",")), iso2, float(millions), tuple(n for n in near.split(",") if n))
    for name, capital, continent, money, iso2, millions, near in (row.split("|") for row in _ROWS.strip().splitlines())
)

_CITIES = """
Lyon:France Marseille:France Toulouse:France Bordeaux:France Munich:Germany Hamburg:Germany Cologne:Germany Dresden:Germany
Leipzig:Germany Milan:Italy Naples:Italy Turin:Italy Palermo:Italy Bologna:Italy Barcelona:Spain Sevilla:Spain Bilbao:Spain
Zaragoza:Spain Porto:Portugal Krakow:Poland Gdansk:Poland Wroclaw:Poland Salzburg:Austria Graz:Austria Innsbruck:Austria
Zurich:Switzerland Geneva:Switzerland Basel:Switzerland Antwerp:Belgium Ghent:Belgium Aarhus:Denmark Odense:Denmark
Bergen:Norway Trondheim:Norway Gothenburg:Sweden Malmo:Sweden Tampere:Finland Turku:Finland Galway:Ireland Thessaloniki:Greece
Debrecen:Hungary Timisoara:Romania Plovdiv:Bulgaria Varna:Bulgaria Novi_Sad:Serbia Kosice:Slovakia Maribor:Slovenia
Kharkiv:Ukraine Lviv:Ukraine Odesa:Ukraine Tartu:Estonia Kaunas:Lithuania Novosibirsk:Russia Kazan:Russia Vladivostok:Russia
Manchester:United_Kingdom Glasgow:United_Kingdom Liverpool:United_Kingdom Leeds:United_Kingdom Osaka:Japan Kyoto:Japan
Nagoya:Japan Sapporo:Japan Fukuoka:Japan Shanghai:China Shenzhen:China Wuhan:China Chengdu:China Guangzhou:China Mumbai:India
Kolkata:India Chennai:India Bengaluru:India Jaipur:India Busan:South_Korea Daegu:South_Korea Incheon:South_Korea
Chiang_Mai:Thailand Da_Nang:Vietnam Surabaya:Indonesia Bandung:Indonesia Medan:Indonesia Davao:Philippines Cebu_City:Philippines
Pokhara:Nepal Chittagong:Bangladesh Karachi:Pakistan Lahore:Pakistan Kandahar:Afghanistan Isfahan:Iran Shiraz:Iran Mosul:Iraq
Basrah:Iraq Jeddah:Saudi_Arabia Medina:Saudi_Arabia Almaty:Kazakhstan Samarkand:Uzbekistan Alexandria:Egypt Luxor:Egypt
Casablanca:Morocco Marrakesh:Morocco Fes:Morocco Oran:Algeria Sfax:Tunisia Benghazi:Libya Omdurman:Sudan Mombasa:Kenya
Kisumu:Kenya Kumasi:Ghana Lagos:Nigeria Kano:Nigeria Ibadan:Nigeria Bulawayo:Zimbabwe Toronto:Canada Montreal:Canada
Vancouver:Canada Calgary:Canada Winnipeg:Canada Chicago:United_States Houston:United_States Seattle:United_States
Denver:United_States Boston:United_States Dallas:United_States Monterrey:Mexico Tijuana:Mexico Cancun:Mexico
Holguin:Cuba Recife:Brazil Salvador:Brazil Curitiba:Brazil Manaus:Brazil Fortaleza:Brazil Rosario:Argentina Mendoza:Argentina
Valparaiso:Chile Arequipa:Peru Cusco:Peru Medellin:Colombia Cali:Colombia Barranquilla:Colombia Maracaibo:Venezuela
Guayaquil:Ecuador Sydney:Australia Melbourne:Australia Brisbane:Australia Perth:Australia Adelaide:Australia
Auckland:New_Zealand Christchurch:New_Zealand Dunedin:New_Zealand
"""

CITIES: tuple[tuple[str, str], ...] = tuple(
    (city.replace("_", " "), country.replace("_", " ")) for city, country in (pair.split(":") for pair in _CITIES.split())
)
"""(city, country); no capital among them."""
