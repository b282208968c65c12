#!/usr/bin/env python3
"""Makes sets of notes and questions for `qwen25 bench retrieval`. Standard library only; the same seed gives the same bytes.

    python make_retrieval_sets.py books --books FOLDER -o sets/books
    python make_retrieval_sets.py questions --books FOLDER -o sets/questions
    python make_retrieval_sets.py dialogues -o sets/dialogues
    python make_retrieval_sets.py scale --notes 100000 -o sets/scale

Each folder gets notes.jsonl ({"id", "text", "namespace", "created_ms", "supersedes"}) and questions.jsonl ({"query",
"kind", "namespace", "relevant": [{"note", "begin", "end"}]}; bytes of the note's text).

books: each .txt of the folder is one document without Project Gutenberg's licence. Questions come from sentences of 10 to
40 words that hold a name or a number, drawn at random:
    cloze        the sentence's longest clause without that name or number
    paraphrase   its content words without the name or number, a third of them dropped, the others replaced from the
                 table of synonyms below where it has them, in another order
    topic        the name or number with two of its rarest content words, synonyms again where there are some
questions: the books that book_questions.txt names, with its questions and the words of the places that answer
them, each of which must stand in its book once. A reader wrote them in words of their own for paragraphs that
were drawn at random, with names where a reader would use them. Their kind is the book, so that constants can
be chosen on one book and measured on the other.
dialogues: ten people with fifty sessions of ten rounds each, two months apart at most; facts stated in passing among
small talk about the same subjects; the questions use other words than the statements.
    single       a fact stated once
    multi        all statements of one kind, spread over sessions
    update       a fact that was changed later: the newest statement counts, the old one is still there
    update-told  the same where the memory was told which note the new one replaces
    temporal     one of several events, by its month
    abstention   something never said: nothing is relevant
scale: one namespace with as many rounds of small talk as asked for, and 500 facts in them.
"""

import argparse
import calendar
import datetime
import json
import pathlib
import random
import re

SYNONYMS = {}
for line in """
house home dwelling|man fellow gentleman|woman lady|door entrance|room chamber|night evening|morning dawn|road way path
child infant|boy lad|girl maiden|father parent|mother parent|friend companion|wife spouse|husband spouse|brother sibling
sister sibling|letter message note|paper document|money cash funds|street avenue|window pane|fire flames|water sea
mountain peak|mountains peaks|ice frost|snow frost|ship vessel|boat vessel|horse animal|dog animal|carriage coach cab
coat garment|hat cap|hand fist palm|face countenance|eyes gaze|voice tone|hair locks|body corpse|death end|murder killing
crime offence|police officers|inspector detective|case affair matter|story tale|words speech|name title|town city|village
hamlet|country land|garden grounds|forest wood|tree oak|river stream|wind storm|light lamp|dark black|dead lifeless
alive living|old aged|young youthful|large big great|great large|small little tiny|little small|beautiful lovely pretty
happy glad|sad unhappy|miserable wretched|wretched miserable|angry furious|afraid frightened|terrible dreadful|horrible
dreadful|dreadful terrible|strange odd curious|curious strange|singular peculiar|quick swift|quickly swiftly|slowly
gradually|suddenly abruptly|often frequently|quite very|said spoke|told informed|asked inquired|answered replied|cried
exclaimed|saw noticed|seen noticed|looked gazed|heard listened|felt sensed|thought believed|knew understood|found
discovered|lost missing|took seized|gave handed|brought carried|went travelled|came arrived|returned went|left departed
entered stepped|ran hurried|walked strolled|sat rested|stood waited|slept rested|began started|ended finished|killed
slew|died perished|loved adored|hated loathed|hope wish|fear dread|joy delight|sorrow grief|grief sorrow|anger rage|pain
agony|work labour|business trade|book volume|table desk|chair seat|bed couch|wall partition|floor ground|box case|gold
money|ring jewel|stone gem|knife blade|gun pistol|blood gore|wound injury|illness sickness|doctor physician|servant maid
king monarch|soldier warrior|hour time|minute moment|moment instant|day date|year twelvemonth|years time|evening night
station terminus|train railway|journey travel|visit call|dinner meal|breakfast meal|supper meal|food meal|wine drink
question query|reason cause|idea notion|truth fact|secret mystery|danger peril|trouble difficulty|help aid|care attention
creature being|monster fiend|fiend monster|wretch creature|spirit soul|heart breast|mind spirit|power strength
""".replace("\n", "|").split("|"):
    words = line.split()
    if words:
        SYNONYMS[words[0]] = words[1:]

COMMON = set("""a about above after again all also am an and any are as at be because been before being below between both
but by can could did do does down during each even ever every few for from further had has have having he her here hers
him himself his how i if in into is it its itself just let like made make many may me might more most much must my myself
never no nor not now of off on once one only or other our out over own said same shall she should so some such than that
the their them then there these they this those thou though through thus thy to too under until up upon us very was we
were what when where which while who whom whose why will with within without would yes yet you your mr mrs miss""".split())

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9'’]*")


def write_jsonl(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_set(folder, notes, questions):
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "notes.jsonl", notes)
    write_jsonl(folder / "questions.jsonl", questions)
    kinds = {}
    for question in questions:
        kinds[question["kind"]] = kinds.get(question["kind"], 0) + 1
    print(f"{folder}: {len(notes)} notes, {len(questions)} questions {kinds}")


# ---- books ----------------------------------------------------------------------------------------------------------


def book_text(path):
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n").lstrip("\ufeff")
    begin = re.search(r"\*\*\* ?START OF.*?\*\*\*\n", text)
    end = re.search(r"\*\*\* ?END OF", text)
    return text[begin.end() if begin else 0:end.start() if end else len(text)].strip() + "\n"


def sentences(text):
    """(begin, end) of sentences, in characters; a blank line ends one, too."""
    begin = 0
    for match in re.finditer(r"(?<![A-Z])(?<!Mr)(?<!Mrs)(?<!Dr)(?<!St)[.!?][\"”’']*\s+|\n\s*\n", text):
        if match.end() > begin:
            yield begin, match.end()
        begin = match.end()


def anchor_of(words):
    """The last name or number of a sentence, not its first word."""
    for word in reversed(words[1:]):
        if word.isdigit() or (word[0].isupper() and word.lower() not in COMMON and len(word) > 2):
            return word
    return None


def reword(word, rng):
    options = SYNONYMS.get(word.lower())
    return rng.choice(options) if options else word.lower()


def book_questions(note, text, per_kind, rng):
    counts = {}
    for word in WORD.findall(text):
        counts[word.lower()] = counts.get(word.lower(), 0) + 1
    usable = []
    for begin, end in sentences(text):
        sentence = text[begin:end]
        words = WORD.findall(sentence)
        if 10 <= len(words) <= 40 and anchor_of(words):
            usable.append((begin, end))
    rng.shuffle(usable)
    questions = []
    for i, (begin, end) in enumerate(usable[:3 * per_kind]):
        sentence = " ".join(text[begin:end].split())
        words = WORD.findall(sentence)
        anchor = anchor_of(words)
        content = [w for w in words if w.lower() not in COMMON and w != anchor]
        kind = ("cloze", "paraphrase", "topic")[i % 3]
        if kind == "cloze":
            clauses = [c for c in re.split(r"[,;:\"“”—!?.-]+", sentence.replace(anchor, " ")) if c.strip()]
            query = max(clauses, key=lambda c: len(WORD.findall(c))).strip()
        elif kind == "paraphrase":
            kept = [w for w in content if rng.random() < 2 / 3] or content
            rng.shuffle(kept)
            query = "the passage about " + ", ".join(reword(w, rng) for w in kept[:8])
        else:
            rare = sorted(dict.fromkeys(content), key=lambda w: (counts[w.lower()], w))[:2]
            query = f"what happens with {anchor} and " + " ".join(reword(w, rng) for w in rare)
        first = len(text[:begin].encode())
        questions.append({"query": query, "kind": kind, "namespace": "books", "relevant": [
            {"note": note, "begin": first, "end": first + len(text[begin:end].rstrip().encode())}]})
    return questions


def make_books(args):
    rng = random.Random(args.seed)
    notes, questions = [], []
    files = sorted(args.books.glob("*.txt"))
    if not files:
        raise SystemExit(f"{args.books}: holds no .txt files")
    for path in files:
        text = book_text(path)
        notes.append({"id": path.stem, "text": text, "title": path.stem, "namespace": "books"})
        questions += book_questions(path.stem, text, args.per_kind, rng)
    write_set(args.output, notes, questions)


def read_questions(path):
    """(line, book, question, words of the place) of a file of "= BOOK", questions and indented places."""
    book, query = None, None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("= "):
            book = line[2:]
        elif not line.startswith(" "):
            query = line
        elif book and query:
            yield number, book, query, line.strip()
            query = None
        else:
            raise SystemExit(f"{path}:{number}: a place without a book or question before it")


def make_questions(args):
    texts, questions = {}, []
    for number, book, query, place in read_questions(args.questions):
        if book not in texts:
            texts[book] = book_text(args.books / f"{book}.txt")
        found = list(re.finditer(r"\s+".join(map(re.escape, place.split())), texts[book]))
        if len(found) != 1:
            raise SystemExit(f"{args.questions}:{number}: stands {len(found)} times in {book}, expected once")
        begin = len(texts[book][:found[0].start()].encode())
        questions.append({"query": query, "kind": book, "namespace": "books", "relevant": [
            {"note": book, "begin": begin, "end": begin + len(found[0].group().encode())}]})
    notes = [{"id": book, "text": text, "title": book, "namespace": "books"} for book, text in texts.items()]
    write_set(args.output, notes, questions)


# ---- dialogues ------------------------------------------------------------------------------------------------------

# name: (values, statements, changes, questions); statements mention the fact in passing.
FACTS = {
    "pet": (["Mimi", "Bruno", "Pepper", "Waffles", "Ziggy", "Nala", "Otto", "Biscuit"],
            ["Sorry for the late answer, my cat {v} was sleeping on the keyboard.", "We just got a kitten and called her {v}!"],
            ["The cat goes by {v} now, the kids renamed her."],
            ["What is my pet called?", "Which animal lives with me and what is its name?"]),
    "city": (["Lyon", "Porto", "Utrecht", "Bergen", "Graz", "Leeds", "Turin", "Ghent"],
             ["I have been settling into my new flat in {v}.", "It rains a lot here in {v}."],
             ["We moved, so from this week I am based in {v}."],
             ["Where do I live?", "In which town is my home?"]),
    "job": (["nurse", "welder", "translator", "pastry chef", "surveyor", "violin teacher", "bus driver", "geologist"],
            ["As a {v} I rarely get weekends off.", "My shift as a {v} was long today."],
            ["I quit and started over as a {v}."],
            ["What do I do for a living?", "What is my profession?"]),
    "allergy": (["peanuts", "shellfish", "kiwi", "sesame", "soy", "walnuts", "celery", "mustard"],
                ["Careful with recipes, {v} make my throat swell.", "I had to use my pen again because of {v} in the sauce."],
                ["The new test says it was never that, what I react to is {v}."],
                ["Which food must I avoid for health reasons?", "What am I allergic to?"]),
    "car": (["a grey Octavia", "an old Panda", "a red Yaris", "a blue Kangoo", "a white Zoe", "a green Defender"],
            ["Parking {v} downtown is no fun.", "I spent the morning washing {v}."],
            ["I sold it and drive {v} instead."],
            ["Which vehicle do I own?", "What do I drive?"]),
    "sister": (["Ingrid", "Chloe", "Mariam", "Tessa", "Yuki", "Paula", "Renata", "Sofia"],
               ["My sister {v} is staying with us until Sunday.", "{v}, my younger sister, plays the drums."],
               ["I mixed it up earlier, the sister I meant is {v}."],
               ["What is the name of my sibling?", "Who is my parents' other daughter?"]),
    "code": (["4711", "0825", "9034", "2268", "7719", "3350", "6142", "1907"],
             ["For the cleaner: the keypad at the gate wants {v}.", "I keep forgetting that the gate opens with {v}."],
             ["They reprogrammed the gate, it opens with {v} now."],
             ["Which digits unlock the entrance of our yard?", "What is the code for the gate?"]),
    "dentist": (["Dr. Okafor", "Dr. Lindqvist", "Dr. Moreau", "Dr. Tanaka", "Dr. Bianchi", "Dr. Novak"],
                ["My tooth is fine again, {v} fixed the crown.", "I have a check-up of my teeth with {v} on Thursday."],
                ["Our old one retired, {v} looks after our teeth now."],
                ["Who treats my teeth?", "What is my dentist's name?"]),
    "instrument": (["cello", "banjo", "oboe", "accordion", "trumpet", "harp"],
                   ["I practise the {v} every evening, poor neighbours.", "My {v} lessons are on Tuesdays."],
                   ["I gave that up and took up the {v}."],
                   ["What music do I make?", "Which instrument am I learning?"]),
    "deadline": (["14 March", "2 June", "30 September", "9 November", "21 January", "5 May"],
                 ["The thesis has to be handed in on {v}.", "My supervisor wants the final thesis by {v}."],
                 ["I got an extension, the thesis is due on {v}."],
                 ["By when must I submit my dissertation?", "When is my thesis due?"]),
    "flight": (["KL1187", "TP0443", "LH2091", "AF7714", "SK0562", "OS0318"],
               ["We booked the holidays, it is {v} on a Saturday.", "The airline mailed the tickets, flight {v}."],
               ["The airline rebooked us onto {v}."],
               ["Which plane are we taking on vacation?", "What is my flight number?"]),
    "coffee": (["flat white with oat milk", "double espresso", "cortado", "decaf filter", "iced americano"],
               ["I cannot start without my {v}.", "The barista knows I take a {v}."],
               ["My doctor objected, so I switched to a {v}."],
               ["How do I take my coffee?", "What should you order for me at a café?"]),
}
EVENTS = {
    "concert": (["Nils Frahm", "the Goat Rodeo", "Little Dragon", "Arooj Aftab", "the Kronos Quartet", "Tinariwen", "Bonobo"],
                ["Last night we heard {v} live, what a show.", "I am still humming after seeing {v} on stage."],
                "Which bands did I go to see?", "Whom did I hear live in {month}?"),
    "hike": (["Ben Nevis", "the Rax", "Triglav", "Snowdon", "the Dachstein", "Monte Baldo", "the Puy de Dome"],
             ["My legs hurt, we climbed {v} on Sunday.", "The view from {v} was worth every step."],
             "Which mountains have I been up?", "Which summit did I reach in {month}?"),
    "book": (["Middlemarch", "The Leopard", "Piranesi", "Stoner", "Austerlitz", "Beloved", "Kokoro"],
             ["I finished {v} on the train and cried.", "Our reading circle did {v} this time."],
             "What have I been reading?", "Which novel did I read in {month}?"),
    "repair": (["the boiler", "the roof", "the dishwasher", "the garage door", "the bike", "the laptop screen"],
               ["The bill for mending {v} was higher than I feared.", "A technician spent half a day on {v}."],
               "What did I have fixed?", "What was broken in {month}?"),
}
SUBJECTS = """cats dogs kittens moving-house rain flats weekends shifts baking recipes sauces peanuts parking washing-cars
engines sisters drums family-visits keypads gates yards teeth crowns toothpaste neighbours music-lessons scales theses
supervisors libraries airlines luggage tickets espresso oat-milk cafés concerts stages humming hiking boots summits maps
novels trains reading-circles boilers roofs plumbers bicycles laptops gardening tomatoes taxes insurance passwords yoga
running knitting chess painting birthdays weddings school homework spelling history physics planets volcanoes whales bees
cheese bread soup tea museums castles islands ferries buses tunnels bridges clocks cameras films theatre jokes riddles
dreams sleep vitamins vaccines eyesight shoes coats wool laundry stains candles heating solar-panels batteries recycling
compost rivers fishing kayaks tents campfires stars telescopes robots spreadsheets emails calendars meetings interviews
salaries pensions rent mortgages carpets shelves lamps mirrors curtains paint wallpaper ladders hammers""".split()
ASKS = ["Can you explain how {s} work?", "What should a beginner know about {s}?", "Give me three ideas about {s}.",
        "Write a short poem about {s}.", "Why do people like {s} so much?", "What is the history of {s}?",
        "How much do {s} usually cost?", "Are {s} a good present for a friend?", "Help me write an email about {s}.",
        "What is the best season for {s}?", "Do {s} need a licence?", "Compare {s} with {t}."]
REPLIES = ["Of course. The most important thing about {s} is to start small and keep notes.",
           "Here is a first draft about {s}; tell me what you would change.",
           "There are many opinions on {s}, and most of them mention {t} as well.",
           "In short: {s} need patience, and {t} can help.", "Let me sum it up: {s} first, {t} later.",
           "That depends on the size, the place and the weather, as so often with {s}."]


def small_talk(rng):
    subject, other = (s.replace("-", " ") for s in rng.sample(SUBJECTS, 2))
    return (rng.choice(ASKS).format(s=subject, t=other) + "\nAssistant: " +
            rng.choice(REPLIES).format(s=subject, t=other))


def round_text(day, said):
    return f"[{day.day} {calendar.month_name[day.month]} {day.year}] User: {said}"


class Person:
    """Sessions of rounds; facts take the place of small talk."""

    def __init__(self, name, sessions, rounds, rng):
        self.name, self.rng = name, rng
        self.days, day = [], datetime.date(2024, 1, 8)
        for _ in range(sessions):
            self.days.append(day)
            day += datetime.timedelta(days=rng.randint(3, 14))
        self.said = {}  # (session, round) -> text behind "User: "
        self.free = [(s, r) for s in range(sessions) for r in range(rounds)]
        self.all = list(self.free)
        self.supersedes = {}
        rng.shuffle(self.free)

    def place(self, text, low=0.0, high=1.0):
        """Says `text` in a free round between two shares of all sessions; returns the round."""
        n = len(self.days)
        index = next(i for i, (s, _) in enumerate(self.free) if low * n <= s < high * n)
        place = self.free.pop(index)
        ask = small_talk(self.rng)
        self.said[place] = text + " " + ask if self.rng.random() < 0.5 else text + "\nAssistant: I see, thanks for telling me."
        return place

    def id(self, place):
        return f"{self.name}-{place[0]:03d}-{place[1]:02d}"

    def notes(self):
        for place in self.all:
            day = self.days[place[0]]
            said = self.said.get(place) or small_talk(self.rng)
            note = {"id": self.id(place), "namespace": self.name, "text": round_text(day, said),
                    "created_ms": int(datetime.datetime(day.year, day.month, day.day, 9, place[1],
                                                        tzinfo=datetime.timezone.utc).timestamp() * 1000)}
            if place in self.supersedes:
                note["supersedes"] = self.id(self.supersedes[place])
            yield note


def person_questions(person, rng):
    questions = []

    def ask(query, kind, places):
        questions.append({"query": query, "kind": kind, "namespace": person.name,
                          "relevant": [{"note": person.id(place)} for place in places]})

    names = list(FACTS)
    rng.shuffle(names)
    for i, name in enumerate(names):
        values, statements, changes, asks = FACTS[name]
        if i < 3:
            ask(rng.choice(asks), "abstention", [])
            continue
        first, second = rng.sample(values, 2)
        if i < 7:
            ask(rng.choice(asks), "single", [person.place(rng.choice(statements).format(v=first))])
            continue
        old = person.place(rng.choice(statements).format(v=first), 0, 0.5)
        new = person.place(rng.choice(changes).format(v=second), 0.5, 1)
        told = i % 2 == 0
        if told:
            person.supersedes[new] = old
        ask(rng.choice(asks), "update-told" if told else "update", [new])
    for values, statements, all_ask, month_ask in EVENTS.values():
        places = []
        for part, value in enumerate(rng.sample(values, 3)):
            places.append(person.place(rng.choice(statements).format(v=value), part / 3, (part + 1) / 3))
        ask(all_ask, "multi", places)
        months = [person.days[s].strftime("%Y-%m") for s, _ in places]
        for place, month in zip(places, months):
            if months.count(month) == 1:
                day = person.days[place[0]]
                ask(month_ask.format(month=f"{calendar.month_name[day.month]} {day.year}"), "temporal", [place])
    return questions


def make_dialogues(args):
    rng = random.Random(args.seed)
    notes, questions = [], []
    for number in range(args.people):
        person = Person(f"user{number}", args.sessions, args.rounds, rng)
        questions += person_questions(person, rng)
        notes += person.notes()
    write_set(args.output, notes, questions)


# ---- scale ----------------------------------------------------------------------------------------------------------


def make_scale(args):
    rng = random.Random(args.seed)
    notes, questions = [], []
    start = datetime.date(2015, 1, 1)
    facts = set(rng.sample(range(args.notes), min(500, args.notes)))
    for i in range(args.notes):
        day = start + datetime.timedelta(days=i * 3650 // args.notes)
        said = small_talk(rng)
        if i in facts:
            values, statements, _, _ = FACTS[rng.choice(list(FACTS))]
            thing, number = rng.choice(SUBJECTS).replace("-", " "), rng.randint(10000, 99999)
            said = f"{rng.choice(statements).format(v=rng.choice(values))} The order for {thing} has the number {number}."
            questions.append({"query": f"What did I tell you about order {number} and {thing}?", "kind": "fact",
                              "relevant": [{"note": f"n{i}"}]})
        notes.append({"id": f"n{i}", "text": round_text(day, said)})
    write_set(args.output, notes, questions)


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    sets = parser.add_subparsers(dest="set", required=True)
    books = sets.add_parser("books")
    books.add_argument("--books", type=pathlib.Path, required=True, help="folder with .txt files")
    books.add_argument("--per-kind", type=int, default=100, help="questions of each kind and book")
    books.set_defaults(make=make_books)
    questions = sets.add_parser("questions")
    questions.add_argument("--books", type=pathlib.Path, required=True, help="folder with these books")
    questions.add_argument("--questions", type=pathlib.Path,
                           default=pathlib.Path(__file__).with_name("book_questions.txt"))
    questions.set_defaults(make=make_questions)
    dialogues = sets.add_parser("dialogues")
    for name, default in (("people", 10), ("sessions", 50), ("rounds", 10)):
        dialogues.add_argument("--" + name, type=int, default=default)
    dialogues.set_defaults(make=make_dialogues)
    scale = sets.add_parser("scale")
    scale.add_argument("--notes", type=int, default=100000)
    scale.set_defaults(make=make_scale)
    for one in (books, questions, dialogues, scale):
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("-o", "--output", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.make(args)


if __name__ == "__main__":
    main()
