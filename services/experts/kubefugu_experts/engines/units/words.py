"""Names and symbols of units, the vocabulary of questions about them, and customary pairs such as feet and inches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Named:
    """A unit: its name for Pint and for people, other names (any case) and symbols (this case)."""

    pint: str
    singular: str
    plural: str
    names: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


_PLAIN = """
meter|meter|meters|metre,metres,mtr,mtrs|m
inch|inch|inches|in.,inchs|in,″
foot|foot|feet|foots,ft.|ft
yard|yard|yards|yds,yd.|yd
mile|mile|miles|mi.,statute mile,statute miles|mi
nautical_mile|nautical mile|nautical miles|sea mile,sea miles|nmi,NM
light_year|light-year|light-years|light year,light years,lightyear,lightyears|ly
astronomical_unit|astronomical unit|astronomical units||au,AU
parsec|parsec|parsecs||pc
angstrom|angstrom|angstroms|ångström,ångströms|Å
intl_furlong|furlong|furlongs||fur
intl_fathom|fathom|fathoms||
intl_rod|rod|rods||
intl_chain|chain|chains||
intl_league|league|leagues||
hand|hand|hands||
gram|gram|grams|gramme,grammes,gm,gms|g
ounce|ounce|ounces|oz.,ozs|oz
pound|pound|pounds|lb.,lbs.,lbs,pound-mass|lb
stone|stone|stones||st
short_ton|US ton|US tons|short ton,short tons,ton,tons,us ton,us tons|
long_ton|long ton|long tons|imperial ton,imperial tons|
metric_ton|tonne|tonnes|metric ton,metric tons,metric tonne,metric tonnes|t
carat|carat|carats||ct
grain|grain|grains||gr
troy_ounce|troy ounce|troy ounces|ozt|
slug|slug|slugs||
second|second|seconds|secs,sec|s
minute|minute|minutes|mins,min.|min
hour|hour|hours|hrs,hr,hr.|h
day|day|days||d
week|week|weeks|wk,wks|
fortnight|fortnight|fortnights||
month|month|months||
year|year|years|yr,yrs|
decade|decade|decades||
century|century|centuries||
millennium|millennium|millennia|millenniums|
liter|liter|liters|litre,litres,ltr,ltrs|L,l
gallon|gallon|gallons|us gallon,us gallons,us liquid gallon,gals|gal
imperial_gallon|imperial gallon|imperial gallons|uk gallon,uk gallons,british gallon,british gallons|
quart|quart|quarts|us quart,us quarts,qts|qt
pint|pint|pints|us pint,us pints,pts|pt
imperial_pint|imperial pint|imperial pints|uk pint,uk pints,british pint,british pints|
cup|cup|cups|us cup,us cups|
fluid_ounce|fluid ounce|fluid ounces|fl oz,fl. oz.,fl.oz.,floz,us fluid ounce,us fluid ounces,fl ounce,fl ounces|
imperial_fluid_ounce|imperial fluid ounce|imperial fluid ounces|uk fluid ounce,uk fluid ounces|
tablespoon|tablespoon|tablespoons|tbsp,tbsps,tbsp.,tbs,tblsp|
teaspoon|teaspoon|teaspoons|tsp,tsps,tsp.|
oil_barrel|barrel of oil|barrels of oil|oil barrel,oil barrels|bbl
bushel|bushel|bushels||
intl_acre|acre|acres||ac
hectare|hectare|hectares||ha
degree|degree|degrees|deg,angular degree,angular degrees,degrees of arc|°
radian|radian|radians||rad
gradian|gradian|gradians|gon,gons,grad,grads|
arcminute|arcminute|arcminutes|minute of arc,minutes of arc,arc minute,arc minutes|arcmin
arcsecond|arcsecond|arcseconds|second of arc,seconds of arc,arc second,arc seconds|arcsec
turn|turn|turns|full turn,full turns|
revolution|revolution|revolutions||rev
degC|degree Celsius|degrees Celsius|celsius,celcius,centigrade,degree celsius,degrees celsius,degree celcius,degrees celcius,deg c,degrees c,degree c,degree centigrade,degrees centigrade,°c,° c,deg celsius,c|°C,℃,C
degF|degree Fahrenheit|degrees Fahrenheit|fahrenheit,farenheit,fahrenheits,degree fahrenheit,degrees fahrenheit,degrees farenheit,deg f,degrees f,degree f,°f,° f,deg fahrenheit,f|°F,℉,F
kelvin|kelvin|kelvins|degrees kelvin,degree kelvin,degrees k,deg k,°k|K
degR|degree Rankine|degrees Rankine|rankine,degrees rankine,degree rankine|°R
mph|mile per hour|miles per hour|mph,mi/h,mi/hr|
kilometer_per_hour|kilometer per hour|kilometers per hour|kph,kmph,kmh,km/hr,kms/h,kilometers an hour,kilometres an hour,kilometres per hour|km/h
knot|knot|knots||kn,kt
foot_per_second|foot per second|feet per second|fps|ft/s
pascal|pascal|pascals||Pa
bar|bar|bars||
atmosphere|atmosphere|atmospheres|atms,standard atmosphere,standard atmospheres|atm
psi|pound per square inch|pounds per square inch|psi|
torr|torr|torr||
mmHg|millimeter of mercury|millimeters of mercury|mmhg,mm hg,millimeter of mercury,millimetres of mercury,millimetre of mercury|
inch_Hg|inch of mercury|inches of mercury|inhg,in hg|
joule|joule|joules||J
calorie|calorie|calories|small calorie,small calories|cal
kilocalorie|kilocalorie|kilocalories|kcals,food calorie,food calories,dietary calorie,dietary calories,large calories|kcal
british_thermal_unit|BTU|BTUs|btu,btus,british thermal unit,british thermal units|
watt_hour|watt-hour|watt-hours|watt hour,watt hours,watthour|Wh
kilowatt_hour|kilowatt-hour|kilowatt-hours|kilowatt hour,kilowatt hours,kwh,kwhs|kWh
megawatt_hour|megawatt-hour|megawatt-hours|megawatt hour,megawatt hours,mwh|MWh
electron_volt|electronvolt|electronvolts|electron volt,electron volts,electron-volt,electron-volts|eV
erg|erg|ergs||
therm|therm|therms||
foot_pound|foot-pound|foot-pounds|foot pound,foot pounds,ft-lb,ft lb,ft-lbs,ft lbs|
watt|watt|watts||W
horsepower|horsepower|horsepower|hp,horse power,mechanical horsepower|
metric_horsepower|metric horsepower|metric horsepower|ps,pferdestärke|
newton|newton|newtons||N
pound_force|pound-force|pounds-force|lbf,pound force,pounds force,pounds of force|
dyne|dyne|dynes||dyn
kilogram_force|kilogram-force|kilograms-force|kgf,kilogram force,kilograms force|
hertz|hertz|hertz||Hz
revolutions_per_minute|revolution per minute|revolutions per minute|rpm,rpms|
bit|bit|bits||
byte|byte|bytes||B
volt|volt|volts||V
ampere|ampere|amperes|amp,amps|A
ohm|ohm|ohms||Ω
coulomb|coulomb|coulombs||
farad|farad|farads||
henry|henry|henries|henrys|
tesla|tesla|teslas||
gauss|gauss|gauss||
mole|mole|moles||mol
newton_meter|newton-meter|newton-meters|newton meter,newton meters,newton metre,newton metres,newton-metre,newton-metres|Nm
mile/gallon|mile per gallon|miles per gallon|mpg,mi/gal|
kilobit/second|kilobit per second|kilobits per second|kbps|
megabit/second|megabit per second|megabits per second|mbps|
gigabit/second|gigabit per second|gigabits per second|gbps|
kibibyte|kibibyte|kibibytes||KiB
mebibyte|mebibyte|mebibytes||MiB
gibibyte|gibibyte|gibibytes||GiB
tebibyte|tebibyte|tebibytes||TiB
"""

_PREFIXES = (
    ("femto", "f"), ("pico", "p"), ("nano", "n"), ("micro", "µ"), ("milli", "m"), ("centi", "c"), ("deci", "d"), ("deca", "da"),
    ("hecto", "h"), ("kilo", "k"), ("mega", "M"), ("giga", "G"), ("tera", "T"), ("peta", "P"),
)  # fmt: skip
_PREFIXED = {
    "meter": ("metre", "m"), "gram": ("gramme", "g"), "second": ("", "s"), "liter": ("litre", "L"), "pascal": ("", "Pa"),
    "joule": ("", "J"), "watt": ("", "W"), "newton": ("", "N"), "hertz": ("", "Hz"), "bit": ("", "bit"), "byte": ("", "B"),
    "volt": ("", "V"), "ampere": ("", "A"), "ohm": ("", "Ω"), "bar": ("", "bar"), "electron_volt": ("", "eV"), "mole": ("", "mol"),
    "parsec": ("", "pc"), "farad": ("", "F"), "calorie": ("", ""),
}  # fmt: skip
_ALSO = {
    "kilometer": ("kms", "k.m.", "klick", "klicks"), "kilogram": ("kgs", "kilo", "kilos"), "millimeter": ("mms",),
    "centimeter": ("cms",), "milliliter": ("mls", "cc", "ccs"), "kilobyte": ("kb", "kbs"), "megabyte": ("mb", "mbs", "meg", "megs"),
    "gigabyte": ("gb", "gbs", "gig", "gigs"), "terabyte": ("tb", "tbs"), "petabyte": ("pb",), "micrometer": ("micron", "microns"),
    "millisecond": ("msec", "msecs"), "kilohertz": ("khz",), "megahertz": ("mhz",), "gigahertz": ("ghz",), "hertz": ("hz",),
    "kilowatt": ("kw",), "kilojoule": ("kj",), "kilopascal": ("kpa",), "hectopascal": ("hpa",), "kilometer_per_hour": ("km/h",),
    "meter": ("m.",), "microgram": ("mcg",),
}  # fmt: skip
_LOWER_SYMBOLS = frozenset(
    """km kg cm mm dm nm ft in yd mi lb oz g l ml cl dl hl m s h min gal qt pt cal kcal kwh wh ha ac nmi ly kn psi atm bar hg mg
    j w hz v kg km/h ft/s mol kv ma mv kj""".split()
)
"""Symbols that are understood in any case, because no other unit shares the letters in practice."""


def build_names() -> tuple[dict[str, Named], dict[str, Named]]:
    """Units by lower-case name, and by exact symbol."""
    units = [_parse(line) for line in _PLAIN.strip().splitlines()]
    units += [_with_prefix(unit, prefix, letter) for unit in units if unit.pint in _PREFIXED for prefix, letter in _PREFIXES]
    names: dict[str, Named] = {}
    symbols: dict[str, Named] = {}
    for unit in units:
        for symbol in unit.symbols:
            symbols.setdefault(symbol, unit)
            if symbol.lower() in _LOWER_SYMBOLS:
                names.setdefault(symbol.lower(), unit)
        for name in (unit.singular, unit.plural, *unit.names, *_ALSO.get(unit.pint, ())):
            names.setdefault(name.lower(), unit)
    return names, symbols


def _parse(line: str) -> Named:
    pint, singular, plural, names, symbols = line.split("|")
    return Named(pint, singular, plural, _split(names), _split(symbols))


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _with_prefix(unit: Named, prefix: str, letter: str) -> Named:
    british, symbol = _PREFIXED[unit.pint]
    names = (f"{prefix}{british}", f"{prefix}{british}s") if british else ()
    symbols = [f"{letter}{symbol}"] if symbol else []
    if unit.pint == "liter":
        symbols.append(f"{letter}l")
    if letter == "µ" and symbol:
        symbols += [f"u{symbol}", f"μ{symbol}"]
    return Named(f"{prefix}{unit.pint}", f"{prefix}{unit.singular}", f"{prefix}{unit.plural}", names, tuple(symbols))


PAIRS = frozenset(
    {
        ("foot", "inch"), ("yard", "foot"), ("mile", "foot"), ("mile", "yard"), ("pound", "ounce"), ("stone", "pound"),
        ("hour", "minute"), ("minute", "second"), ("hour", "second"), ("day", "hour"), ("day", "minute"), ("week", "day"),
        ("year", "month"), ("year", "day"), ("year", "week"), ("month", "day"), ("meter", "centimeter"), ("kilometer", "meter"),
        ("kilogram", "gram"), ("liter", "milliliter"), ("gallon", "quart"), ("quart", "pint"), ("gallon", "pint"),
        ("gallon", "cup"), ("cup", "tablespoon"), ("tablespoon", "teaspoon"), ("degree", "arcminute"), ("arcminute", "arcsecond"),
        ("centimeter", "millimeter"), ("metric_ton", "kilogram"), ("yard", "inch"), ("week", "hour"), ("gallon", "fluid_ounce"),
        ("pint", "fluid_ounce"), ("cup", "fluid_ounce"), ("cup", "teaspoon"),
    }
)  # fmt: skip
"""Larger and smaller unit that are written one after the other: 5 feet 11 inches."""

VOCABULARY = frozenset(
    """QTY UNIT NUM a an the of in on at to from for by with as and or than that this it its there then if
    is are was were be being would will does do did has have had can could should what which how many much long far big heavy tall
    old high large fast hot cold wide deep short quick slow warm cool convert converts converted converting conversion change
    changes changed changing turn turned transform translate translated translating switch express expressed expressing write
    written rewrite represent represented into onto using unit units measure measured measurement measurements value values
    equal equals equivalent equivalence amount amounts number quantity quantities corresponds correspond corresponding
    same exactly exact precisely approximately about around roughly calculate compute determine find figure work out say tell
    get gets got give gives make makes made up contain contains contained hold holds fit fits go goes into inside
    longer shorter heavier lighter bigger larger smaller greater lesser more less most least faster slower hotter colder warmer
    cooler taller farther further higher lower wider deeper older longest shortest heaviest lightest biggest largest smallest
    greatest fastest slowest hottest coldest highest lowest furthest farthest older compare compared comparing comparison versus
    vs between difference sum total combined together plus minus add added adding addition subtract subtracted subtracting take
    away times multiplied multiply multiplying divide divided dividing by double twice triple half + - * / x × ÷ = == ≈ -> → ?
    each every per one two factor ratio rate whole distance length weight mass time temperature speed volume area pressure energy
    power angle data storage size height width depth duration period force travel travels traveled travelled travelling traveling
    drive drives drove driven driving move moves moved moving run runs ran running walk walks walked walking ride cover covers
    covered fly flies flew cycle cycles cycling car train bus bike bicycle plane runner cyclist vehicle you i we he she they me my
    someone person takes took need needed needs average constant later long after during while at true false yes no not correct
    right given know metric imperial us system customary terms term object something measures weighs lasts thing result answer following steady
    expressed quantity following's when also all over still only just please reach requires require required would've last lasts
    worth back here sized scale degrees my body""".split()
)
"""Every word that a question about units may hold. One word outside it, and the question is somebody else's."""
