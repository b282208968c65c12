#!/usr/bin/env python3
"""Writes facts that a person tells an assistant over several sessions, and the questions asked about them later.

    make_fact_sets.py [--facts 100] [--sessions 10] [--seed 1] [-o facts.json]

Facts are names, places, dates, numbers and preferences of an invented person. No two facts share their subject, and every third
one is corrected in a later session. The file is one JSON object:

    {"sessions": [["My sister Elin lives in Lisbon.", ...], ...],
     "questions": [{"question": "Where does my sister Elin live?", "answer": "Oslo", "outdated": "Lisbon" or null,
                    "session": the session of the valid statement, "statement": that statement}, ...]}

An answer counts as right if it holds the words of `answer`, whatever their case.
"""

import argparse
import json
import random

RELATIONS = ["cousin", "neighbour", "colleague", "landlord", "teacher", "dentist", "friend", "flatmate", "doctor", "boss"]
NAMES = ["Elin", "Ingrid", "Tomas", "Amira", "Lucas", "Nadia", "Pavel", "Greta", "Hugo", "Salma", "Viktor", "Marta", "Jonas",
         "Leila", "Oskar", "Paula", "Ruben", "Sofia", "Emil", "Carla", "Anton", "Birgit", "Dario", "Fatima", "Henrik", "Irene"]
CITIES = ["Lisbon", "Oslo", "Geneva", "Dublin", "Prague", "Naples", "Seville", "Riga", "Tallinn", "Bergen", "Krakow", "Malmo",
          "Porto", "Zagreb", "Athens", "Cardiff", "Leipzig", "Bruges", "Turin", "Vienna", "Utrecht", "Galway", "Bilbao"]
JOBS = ["nurse", "carpenter", "pilot", "baker", "lawyer", "gardener", "plumber", "librarian", "translator", "photographer",
        "butcher", "architect", "electrician", "surgeon", "fisherman", "journalist"]
PETS = ["dog", "cat", "parrot", "rabbit", "horse", "tortoise", "goldfish", "hamster"]
PET_NAMES = ["Waldo", "Bruno", "Misty", "Pepper", "Ziggy", "Olive", "Rufus", "Clover", "Biscuit", "Nimbus", "Mango", "Pixel"]
LOCKS = ["garage", "cellar", "bicycle", "boat house", "office", "garden gate", "mailbox", "attic", "greenhouse", "locker"]
FAVOURITES = {
    "colour": ["green", "purple", "orange", "turquoise"], "fruit": ["mango", "cherry", "pear", "papaya"],
    "drink": ["cocoa", "lemonade", "espresso", "cider"], "season": ["autumn", "winter", "spring", "summer"],
    "sport": ["tennis", "rowing", "fencing", "handball"], "instrument": ["cello", "trumpet", "harp", "oboe"],
    "flower": ["tulip", "lilac", "daisy", "orchid"], "soup": ["tomato", "lentil", "onion", "pumpkin"],
    "animal": ["otter", "heron", "badger", "lynx"], "board game": ["chess", "backgammon", "ludo", "dominoes"],
    "cheese": ["gouda", "brie", "cheddar", "feta"], "city": CITIES,
}
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
EVENTS = ["appointment with the doctor", "school concert", "wedding of Clara and Finn", "meeting with the bank", "move to the new flat",
          "theatre evening", "parents' evening", "chess tournament", "garden party", "driving test", "choir rehearsal", "house warming"]


def date(random_numbers):
    return f"{random_numbers.randint(1, 28)} {random_numbers.choice(MONTHS)}"


def subjects(random_numbers):
    """All facts that can be told: (statement with a place for the value, question, values to choose from)."""
    facts = []
    people = random_numbers.sample(NAMES, len(NAMES))
    for index, name in enumerate(people):
        who = f"my {RELATIONS[index % len(RELATIONS)]} {name}"
        facts.append((f"{who} lives in {{}}.", f"Where does {who} live?", CITIES))
        facts.append((f"{who} works as a {{}}.", f"What is the job of {who}?", JOBS))
        facts.append((f"the birthday of {who} is on {{}}.", f"When is the birthday of {who}?", date))
    for pet in PETS:
        facts.append((f"my {pet} is called {{}}.", f"What is my {pet} called?", PET_NAMES))
    for lock in LOCKS:
        facts.append((f"the code of the {lock} is {{}}.", f"What is the code of the {lock}?",
                      lambda numbers: str(numbers.randint(1000, 9999))))
    for thing, values in FAVOURITES.items():
        facts.append((f"my favourite {thing} is {{}}.", f"What is my favourite {thing}?", values))
    for event in EVENTS:
        facts.append((f"the {event} is on {{}}.", f"When is the {event}?", date))
    return facts


def value_of(values, random_numbers, other_than=None):
    while True:
        value = values(random_numbers) if callable(values) else random_numbers.choice(values)
        if value != other_than:
            return value


def state(statement, value):
    text = statement.format(value).replace(" a architect", " an architect").replace(" a electrician", " an electrician")
    return text[0].upper() + text[1:]


def make(num_facts, num_sessions, seed):
    random_numbers = random.Random(seed)
    facts = subjects(random_numbers)
    if not 1 <= num_facts <= len(facts):
        raise SystemExit(f"--facts {num_facts}: expected 1 to {len(facts)}")
    if num_sessions < 2:
        raise SystemExit(f"--sessions {num_sessions}: expected at least 2, since facts are corrected in a later one")
    sessions, questions = [[] for _ in range(num_sessions)], []
    for index, (statement, question, values) in enumerate(random_numbers.sample(facts, num_facts)):
        is_corrected = index % 3 == 2
        session = random_numbers.randrange(num_sessions - 1 if is_corrected else num_sessions)
        value, outdated = value_of(values, random_numbers), None
        sessions[session].append(state(statement, value))
        if is_corrected:
            outdated, value = value, value_of(values, random_numbers, value)
            session = random_numbers.randrange(session + 1, num_sessions)
            sessions[session].append(state(statement, value))
        questions.append({"question": question, "answer": value, "outdated": outdated, "session": session,
                          "statement": state(statement, value)})
    for statements in sessions:
        random_numbers.shuffle(statements)
    return {"sessions": sessions, "questions": questions}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", help="default: standard output")
    arguments = parser.parse_args()
    text = json.dumps(make(arguments.facts, arguments.sessions, arguments.seed), indent=1) + "\n"
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
