"""Small talk, simple facts, writing and language chores: what a general language model is for. The checks are modest."""

from __future__ import annotations

import numpy as np

from kubefugu_trainer.tasks.question import Generator, Phrasing, Question
from kubefugu_trainer.tasks.verifiers import Contains, Verifier, Words
from kubefugu_trainer.tasks.wording import Wording, pick

FIELD = "general"

_GREETINGS = Wording(
    seen=(
        "Hello!", "Hi there", "Hi, how are you?", "Good morning!", "Hey, what's up?", "Hello, who are you?",
        "How are you doing today?", "Thank you very much!",
        "Good evening, nice to meet you.", "What can you do?", "What is your name?", "Tell me a joke.",
        "I feel a bit sad today.", "I had a great day!",
        "Can we chat for a while?", "Do you like music?", "What is your favourite colour?", "Good night!", "I'm bored.",
        "Tell me something interesting.",
        "Are you a robot?", "Nice weather today, isn't it?", "I'm nervous about my interview tomorrow.",
        "Thanks, that was helpful.", "Who made you?",
        "Hi! My name is {n}.", "Hello, I'm {n}. How are you?", "My friend {n} is visiting me this weekend.",
        "{n} forgot my birthday. What should I say?",
        "I want to learn {h}. Any advice?", "I love {h}. What about you?", "Do you enjoy {h}?",
        "I spent the whole day on {h}.", "Should I take up {h}?",
    ),
    new=(
        "Hey!", "Howdy", "Good afternoon, how is it going?", "Greetings", "How was your day?", "Say hello to {n}.",
        "I'm {n}, pleased to meet you!", "Cheer me up, please.",
        "What do you think about {h}?", "I just started {h} and it is fun.", "Let's talk about {h}.",
        "{n} and I had an argument.", "See you later!", "I am so tired.",
        "Make me laugh.", "Can you keep me company?",
    ),
    fresh=(
        "Good day to you!", "Yo, how is life?", "I'm {n}. Who are you?", "It is late and I cannot sleep.",
        "Do you have a hobby like {h}?", "{n} told me to talk to you.", "I am proud of myself today.",
        "What shall we talk about?", "Bye for now!", "Say something funny.", "My neighbour {n} is so loud.", "I am new here.",
        "{h} makes me happy.", "Wish me luck!",
    ),
)  # fmt: skip
_WRITE = Wording(
    seen=(
        "Write a short poem about {t}.", "Write a story about {t}.", "Tell me a short story about {t}.",
        "Write a paragraph about {t}.", "Write a sentence about {t}.",
        "Describe {t} in a few sentences.", "Write a short letter about {t}.", "Compose a haiku about {t}.",
        "Write an email to a friend about {t}.",
        "Explain {t} to a child.", "Give me some ideas about {t}.", "Write a slogan for {t}.", "Give me tips on {t}.",
        "Write a tweet about {t}.",
        "Write the first lines of a novel about {t}.", "Help me write a speech about {t}.", "Describe {t}.",
        "Why do people like {t}?",
    ),
    new=(
        "Compose some verses on {t}.", "Make up a tale that features {t}.", "Draft a blog post on {t}.",
        "I need a few lines about {t}.", "Pen a limerick about {t}.",
        "Could you say something nice about {t}?", "Create an advertisement for {t}.", "What makes {t} special?",
        "Share your thoughts on {t}.",
    ),
    fresh=(
        "Come up with a rhyme about {t}.", "I'd love to read a few sentences about {t}.", "Put together a short text on {t}.",
        "Invent a fairy tale around {t}.", "Sell {t} to me in two sentences.", "Imagine {t} and tell me what you see.",
        "Write a diary entry that mentions {t}.", "Praise {t} in a toast.",
    ),
)  # fmt: skip
_THINGS = (
    "the sea", "spring", "a lost dog", "an old house", "winter", "friendship", "my garden", "a dragon", "the moon", "coffee",
    "a small village", "music", "the forest",
    "a brave mouse", "rain", "chocolate", "travelling", "a rainy day", "the stars", "bread", "a clever fox", "books",
    "a birthday party", "autumn leaves", "a train",
    "football", "bicycles", "the internet", "healthy food", "a picnic", "tea", "a robot", "the mountains", "holidays",
    "cooking", "a cat", "school", "hope", "a bakery",
)  # fmt: skip
_NEW_THINGS = (
    "the desert",
    "a lighthouse",
    "summer nights",
    "a shy elephant",
    "pizza",
    "dancing",
    "an island",
    "a snowman",
    "grandparents",
    "the circus",
)
_HOBBIES = (
    "painting",
    "chess",
    "cooking",
    "running",
    "gardening",
    "photography",
    "singing",
    "knitting",
    "swimming",
    "hiking",
    "reading",
    "dancing",
    "fishing",
)
_NEW_HOBBIES = ("pottery", "cycling", "juggling", "archery", "bird watching", "surfing")
_NAMES = ("Anna", "Tom", "Lisa", "Max", "Julia", "Peter", "Sarah", "Daniel", "Laura", "Mark")
_NEW_NAMES = ("Omar", "Ingrid", "Yuki", "Carlos", "Priya")
_FRESH_NAMES = ("Leila", "Mateo", "Sven", "Amara", "Chen")
_FRESH_HOBBIES = ("origami", "sailing", "baking", "beekeeping", "yoga", "stargazing", "carpentry")
_FRESH_THINGS = (
    "a waterfall", "an umbrella", "breakfast", "a lonely lamp", "the library", "a wise owl", "a sandcastle",
    "grandmother's kitchen", "the marketplace", "a paper boat", "thunder", "an old clock",
)  # fmt: skip

_FACTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("What colour is the sky on a clear day?", "On a clear day, the sky has which colour?",
     "Seen from Earth on a sunny day, what colour is the sky?", ("blue",)),
    ("What do bees make?", "Which sweet food do bees produce?",
     "Bees fill their hives with what food?", ("honey",)),
    ("Who wrote Romeo and Juliet?", "Which author is behind Romeo and Juliet?",
     "Romeo and Juliet is a play by whom?", ("Shakespeare",)),
    ("Which planet do we live on?", "Name the planet that humans live on.",
     "Our home planet is called what?", ("Earth",)),
    ("What is frozen water called?", "How do you call water that is frozen?",
     "When water freezes it turns into what?", ("ice",)),
    ("What gas do plants take in?", "Which gas do plants absorb from the air?",
     "Plants use up which gas of the air when they grow?", ("carbon dioxide", "CO2")),
    ("Which animal says meow?", "What animal goes meow?",
     "Meow is the sound of which animal?", ("cat", "cats")),
    ("What is the largest planet in the solar system?", "Which planet of the solar system is the biggest?",
     "Of all planets around our Sun, which is the largest?", ("Jupiter",)),
    ("Who painted the Mona Lisa?", "The Mona Lisa was painted by whom?",
     "Tell me the painter of the Mona Lisa.", ("Leonardo", "da Vinci")),
    ("What is the colour of grass?", "Which colour does grass have?",
     "What colour is a lawn?", ("green",)),
    ("What do cows drink as calves?", "Baby cows drink what?",
     "A calf drinks what from its mother?", ("milk",)),
    ("Who was the first president of the United States?", "Which man was the first US president?",
     "Tell me who became the first US president.", ("Washington",)),
    ("What star is at the center of our solar system?", "Which star do the planets of our solar system go around?",
     "The Earth and the other planets circle which star?", ("Sun",)),
    ("What is the fastest land animal?", "Which land animal runs fastest?",
     "What animal on land is the quickest runner?", ("cheetah",)),
    ("What is the largest ocean?", "Name the biggest ocean on Earth.",
     "Of the oceans, which one covers the most area?", ("Pacific",)),
    ("What force pulls objects to the ground?", "Which force makes things fall down?",
     "Why do apples fall down: which force is it?", ("gravity", "gravitational")),
    ("What do we use to see?", "Which body parts do we see with?",
     "With what part of the body do people see?", ("eyes", "eye")),
    ("What is the tallest animal?", "Which animal is the tallest?",
     "No animal is taller than which one?", ("giraffe", "giraffes")),
    ("What is the main language spoken in Brazil?", "Which language do most Brazilians speak?",
     "People in Brazil speak mostly what language?", ("Portuguese",)),
    ("What pumps blood through the body?", "Which organ moves blood through the body?",
     "Which part of the body keeps blood flowing?", ("heart",)),
    ("What is the chemical formula of water?", "Water has which chemical formula?",
     "Write the chemical formula for water.", ("H2O", "H₂O")),
    ("Who discovered gravity when an apple fell?", "Which scientist is linked with a falling apple?",
     "An apple is said to have helped which physicist find gravity?", ("Newton",)),
    ("Who developed the theory of relativity?", "The theory of relativity comes from whom?",
     "Name the physicist who came up with relativity.", ("Einstein",)),
    ("What instrument has black and white keys?", "Which instrument is played on black and white keys?",
     "Which musical instrument is known for its black and white keys?", ("piano", "keyboard")),
    ("What is the natural satellite of the Earth?", "What goes around the Earth at night and shines?",
     "What circles the Earth and lights up the night?", ("Moon",)),
    ("What do caterpillars turn into?", "Caterpillars become which insects?",
     "After its cocoon, a caterpillar is a what?", ("butterfly", "butterflies")),
    ("What is the opposite direction of north called?", "If I turn away from north, which way do I face?",
     "Opposite to north lies which direction?", ("south",)),
    ("Which season comes after winter?", "What season follows winter?",
     "When winter ends, what season begins?", ("spring",)),
    ("What do you call a baby dog?", "How is a young dog called?",
     "A dog that was just born is called a what?", ("puppy", "pup")),
    ("Which gas do humans need to breathe?", "What gas must people breathe to live?",
     "Our lungs take which gas from the air?", ("oxygen",)),
)  # fmt: skip

_FRAGMENT = Wording(
    seen=(
        "Name three {k}.", "List three {k}.", "Give me three examples of {k}.", "Can you name some {k}?",
        "What are some {k}?", "List a few {k}.",
    ),
    new=(
        "I need the names of a few {k}.", "Which {k} can you think of?", "Mention some {k}.", "Tell me some {k} that you know.",
    ),
    fresh=(
        "Could I have a few {k} as examples?", "Some well-known {k}, please.", "For a quiz I need four {k}.",
        "What {k} do people know best?",
    ),
)  # fmt: skip
_KINDS: dict[str, tuple[str, ...]] = {
    "fruits": ("apple", "apples", "banana", "bananas", "orange", "oranges", "grape", "grapes", "strawberry", "strawberries",
    "mango", "pear", "blueberries", "watermelon"),
    "colours": ("red", "blue", "green", "yellow", "orange", "purple", "black", "white", "pink", "brown"),
    "animals": ("dog", "dogs", "cat", "cats", "lion", "lions", "elephant", "elephants", "tiger", "tigers", "horse", "bear",
    "bears", "bird", "birds", "fish", "giraffe", "giraffes"),
    "vegetables": ("carrot", "carrots", "potato", "potatoes", "tomato", "tomatoes", "onion", "onions", "broccoli", "spinach",
    "kale", "peppers", "cabbage", "lettuce"),
    "sports": ("football", "basketball", "tennis", "soccer", "baseball", "swimming", "hockey", "golf", "volleyball",
    "cricket", "rugby", "running", "cycling"),
    "musical instruments": ("piano", "guitar", "violin", "flute", "drums", "drum", "trumpet", "cello", "saxophone", "clarinet"),
    "programming languages": ("Python", "Java", "JavaScript", "C", "Ruby", "PHP", "Swift", "Go", "Rust", "HTML"),
    "hobbies": ("reading", "painting", "cooking", "hiking", "gardening", "music", "photography", "dancing", "drawing",
    "writing", "sports", "traveling", "swimming"),
}  # fmt: skip
_CODE = Wording(
    seen=(
        "Write a Python function that {c}.", "Write a program that {c}.", "How do I write code that {c}?",
        "Write Python code that {c}.", "Show me a Python function that {c}.",
    ),
    new=("Implement a function in Python which {c}.", "Can you code something that {c}?", "I need a script that {c}."),
    fresh=(
        "In Python, what would code look like that {c}?", "Please program something that {c}.",
        "Give me a short Python snippet that {c}.",
    ),
)  # fmt: skip
_CHORES = (
    "adds two numbers", "reverses a string", "prints hello world", "sorts a list", "counts the words of a text",
    "reads a file", "finds the largest number in a list",
    "checks whether a word is a palindrome", "downloads a web page", "removes duplicates from a list",
)  # fmt: skip
_REWRITE = Wording(
    seen=(
        "Rewrite this sentence politely: {s}", "Summarize this: {s}", "Correct the grammar: {s}",
        "Make this sentence shorter: {s}", "Paraphrase: {s}",
        "Translate to Spanish: {s}", "Translate this into French: {s}",
    ),
    new=(
        "Say this in other words: {s}", "Improve this text: {s}", "Put the following into German: {s}",
        "Can you polish this sentence? {s}",
    ),
    fresh=(
        "How could one phrase this better? {s}", "Turn this into Italian: {s}", "Give me a friendlier version of: {s}",
        "Make it sound formal: {s}",
    ),
)  # fmt: skip
_SENTENCES = (
    "The quick brown fox jumps over the lazy dog.", "Give me the report now.", "He go to school every day.",
    "We was very happy to see you at the party last night.",
    "The meeting was long, and nobody knew why we had it.", "I can't come to work today because I am sick.",
    "The old man sat by the river and watched the boats.",
    "My computer does not start any more.", "They has three childs.", "Our train was late, so we missed the concert.",
    "This soup tastes strange.",
    "She sings beautifully in the choir on Sundays.",
)  # fmt: skip
_QUESTIONS = Wording(
    seen=(
        "How do I cook {f}?", "How can I learn {h}?", "What should I eat for dinner?", "How do I make {f}?",
        "What are the benefits of {h}?", "Why is {h} good for you?",
        "What is the best way to learn {h}?", "How can I sleep better?", "How do I make new friends?", "Why is the sky blue?",
        "How does a car engine work?",
        "What is machine learning?", "What is photosynthesis?", "Why do we dream?",
        "What should I give my mother for her birthday?", "How do airplanes fly?",
        "How can I save money?", "What is the internet?", "Why do cats purr?", "How do I write a good CV?",
        "What are the causes of climate change?", "Recommend a good book.",
        "What movie should I watch tonight?", "How do vaccines work?", "Explain how rainbows form.",
    ),
    new=(
        "Any recipe for {f}?", "Is {h} hard to learn?", "Where do I begin with {h}?", "What goes well with {f}?",
        "How do computers work?", "What is a black hole?",
        "Why do leaves change colour?", "How can I be more productive?", "Suggest a weekend activity.",
        "How does a refrigerator work?", "What is democracy?",
        "Explain electricity in simple words.",
    ),
    fresh=(
        "What do I need for {f}?", "How long does it take to get good at {h}?", "Why is the sea salty?",
        "How does a microwave oven work?", "What can I do against stress?", "Tell me how to prepare {f}.",
        "Who should try {h}?", "What does a judge do at work?", "How do I plan a wedding?", "What makes a good teacher?",
        "Why do we need sleep?",
    ),
)  # fmt: skip
_FOODS = (
    "pasta",
    "rice",
    "pancakes",
    "a chicken soup",
    "scrambled eggs",
    "bread",
    "an apple pie",
    "a salad",
    "pizza",
    "tomato sauce",
)


def _make(topic: str, prompt: str, phrasing: Phrasing, truth: Verifier) -> Question:
    return Question(prompt=prompt, field=FIELD, topic=topic, phrasing=phrasing, verifier=truth)


def _of(phrasing: Phrasing, *sets: tuple[str, ...]) -> tuple[str, ...]:
    return dict(zip(Phrasing, sets, strict=True))[phrasing]


def small_talk(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Greetings and chat: any reply of some length."""
    slots = {
        "n": pick(rng, _of(phrasing, _NAMES, _NEW_NAMES, _FRESH_NAMES)),
        "h": pick(rng, _of(phrasing, _HOBBIES, _NEW_HOBBIES, _FRESH_HOBBIES)),
    }
    return _make("small_talk", _GREETINGS.say(rng, phrasing, slots, plain=True), phrasing, Words())


def writing(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A text that must mention its subject."""
    thing = pick(rng, _of(phrasing, _THINGS, _NEW_THINGS, _FRESH_THINGS))
    key = thing.split()[-1].rstrip("s")
    return _make(
        "writing",
        _WRITE.say(rng, phrasing, {"t": thing}),
        phrasing,
        Words(required=(key[: max(4, len(key) - 1)],), min_words=8),
    )


def fact(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A fact that everybody knows; the wording differs between the sets."""
    seen, new, fresh, accepted = pick(rng, _FACTS)
    prompt = Wording(seen=(seen,), new=(new,), fresh=(fresh,)).say(rng, phrasing, {})
    return _make("fact", prompt, phrasing, Contains(accepted=accepted))


def listing(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Examples of a kind: two of the usual ones at least."""
    kind = pick(rng, tuple(_KINDS))
    return _make(
        "listing", _FRAGMENT.say(rng, phrasing, {"k": kind}), phrasing, Words(any_of=_KINDS[kind], at_least=2, min_words=2)
    )


def code(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A small program: the reply must look like one (it is not run)."""
    truth = Words(any_of=("def", "print", "function", "return", "import", "for"), min_words=5)
    return _make("code", _CODE.say(rng, phrasing, {"c": pick(rng, _CHORES)}), phrasing, truth)


def rewriting(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A sentence to be reworded, shortened or translated: any other sentence counts."""
    return _make(
        "rewriting", _REWRITE.say(rng, phrasing, {"s": pick(rng, _SENTENCES)}, plain=True), phrasing, Words(min_words=2)
    )


def advice(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Open questions: any reply of some length."""
    slots = {"f": pick(rng, _FOODS), "h": pick(rng, _of(phrasing, _HOBBIES, _NEW_HOBBIES, _FRESH_HOBBIES))}
    return _make("advice", _QUESTIONS.say(rng, phrasing, slots), phrasing, Words(min_words=8))


TOPICS: dict[str, Generator] = {
    "small_talk": small_talk, "writing": writing, "fact": fact, "listing": listing, "code": code, "rewriting": rewriting,
    "advice": advice,
}  # fmt: skip
