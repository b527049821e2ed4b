"""What an answer means, by rules anybody can read: intent, mood, rating and choice of a reply's text. Pure data.

Words of English, German and Polish; a text in another language still gives its digits, stars and signs. What no rule
knows stays missing, and a journey's `else` takes it. STOP words are no matter of meaning: `engine/answers.py` obeys
them before anything here is asked.
"""

from __future__ import annotations

import re
import unicodedata

INTENTS = ("later", "decline", "accept", "question", "complaint")
MOODS = ("happy", "unhappy", "neutral")
CHOICES = ("email", "sms", "push", "less_often")

#: Longest text that is read; a long letter is for a person.
MAX_TEXT = 2_000

#: intent → phrases, the first intent with a phrase in the text wins. Written without accents, in small letters.
_INTENT: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "complaint",
        (
            "broken", "damaged", "does not work", "doesn t work", "not working", "wrong item", "refund", "money back",
            "complaint", "kaputt", "beschadigt", "defekt", "funktioniert nicht", "falsche ware", "geld zuruck",
            "reklamation", "zepsut", "uszkodzon", "nie dziala", "zwrot pieniedzy", "reklamacj",
        ),
    ),
    (
        "later",
        (
            "later", "not now", "not yet", "next week", "next month", "in a week", "in a month", "remind me",
            "tomorrow",
            "still have", "still enough", "too early", "spater", "nicht jetzt", "noch nicht", "nachste woche",
            "nachsten monat", "in einer woche", "morgen", "erinner", "habe noch", "noch genug", "zu fruh",
            "pozniej", "nie teraz", "jeszcze nie", "za tydzien", "za miesiac", "przyszlym tygodniu", "jutro",
            "przypomnij",
            "mam jeszcze", "za wczesnie",
        ),
    ),
    (
        "decline",
        (
            "no thanks", "no thank you", "not interested", "don t want", "do not want", "do not ask", "don t ask",
            "leave me alone", "no more", "nein danke", "kein interesse", "nicht interessiert", "will nicht",
            "mochte nicht", "keine fragen", "nie dziekuje", "nie chce", "nie jestem zainteresowan", "nie pytaj",
            "dziekuje nie",
        ),
    ),
    (
        "accept",
        (
            "yes please", "sounds good", "of course", "i will", "i d like", "go ahead", "the same again", "ja bitte",
            "ja gerne", "gerne", "klingt gut", "naturlich", "tak prosze", "chetnie", "oczywiscie", "poprosze",
        ),
    ),
)  # fmt: skip
#: A text that is nothing but one of these words.
_ALONE = {
    "yes": "accept", "y": "accept", "ok": "accept", "okay": "accept", "sure": "accept", "ja": "accept", "tak": "accept",
    "no": "decline", "n": "decline", "nope": "decline", "nein": "decline", "nie": "decline",
}  # fmt: skip
_ASKING = (
    "how", "what", "when", "where", "which", "why", "who", "can i", "could you", "do you", "is it", "wie", "wann",
    "wo", "welche", "warum", "wer", "kann ich", "konnen sie", "haben sie", "ist es", "jak", "co", "kiedy", "gdzie",
    "ktory", "ktora", "dlaczego", "kto", "czy",
)  # fmt: skip

_UNHAPPY = (
    "not happy", "unhappy", "not satisfied", "unsatisfied", "disappointed", "disappointing", "terrible", "awful", "bad",
    "horrible", "poor", "worst", "hate", "useless", "annoying", "angry", "not good", "don t like", "do not like",
    "unzufrieden", "nicht zufrieden", "enttauscht", "schlecht", "furchtbar", "schrecklich", "mies", "argerlich",
    "nicht gut", "gefallt mir nicht", "niezadowolon", "nie jestem zadowolon", "rozczarowan", "zle", "kiepsk", "fatal",
    "okropn", "beznadziejn", "nie podoba",
)  # fmt: skip
_HAPPY = (
    "happy", "love", "great", "excellent", "perfect", "wonderful", "amazing", "fantastic", "very good", "good", "nice",
    "satisfied", "like it", "zufrieden", "toll", "super", "perfekt", "wunderbar", "ausgezeichnet", "sehr gut", "gut",
    "gefallt mir", "liebe es", "zadowolon", "swietn", "doskonal", "wspanial", "rewelacyjn", "bardzo dobr", "dobr",
    "podoba mi", "uwielbiam",
)  # fmt: skip
#: Praise that holds a word of blame.
_FAINT = ("not bad", "nicht schlecht", "nie jest zle", "niezle", "not a bad")
_NEUTRAL = (
    "so so",
    "okay",
    "ok",
    "average",
    "all right",
    "geht so",
    "mittel",
    "in ordnung",
    "przecietn",
    "srednio",
    "moze byc",
    "w porzadku",
)
_BAD_SIGNS = frozenset("😠😡🤬😞😟😢😭👎☹🙁😤💔")
_GOOD_SIGNS = frozenset("😀😃😄😁😊🙂😍🥰👍❤😻🤩🎉")

_CHOICE: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "less_often",
        (
            "less often", "less", "fewer", "not so often", "too many", "too much", "too often", "weniger", "seltener",
            "nicht so oft", "zu viel", "zu oft", "rzadziej", "mniej", "za duzo", "za czesto",
        ),
    ),
    ("sms", ("sms", "text message", "text me", "by text", "text", "textnachricht", "esemes")),
    ("push", ("push", "app", "notification", "benachrichtigung", "powiadomien", "aplikacj")),
    ("email", ("email", "e mail", "mail", "mejl", "per post")),
)  # fmt: skip

_RATING = re.compile(
    r"(?<![\d.,/])([1-5])(?:[.,]0)?(?: ?(?:/|of|out of|von|na|z) ?5)?(?: ?(?:stars?|sterne?|gwiazd\w*|\*))?(?![\d.,/])"
)
_RATED = re.compile(r"(?<![\d.,/])([1-5]) ?(?:(?:/|of|out of|von|na|z) ?5|stars?|sterne?|gwiazd\w*|\*)(?!\d)")


def read_reply(text: str) -> dict[str, object]:
    """`intent`, `mood`, `rating` and `choice` of an answer, each only where a rule knows it.

    A rating of one or two is unhappy, of four or five happy; a complaint is unhappy. Otherwise words and signs decide,
    an unhappy one before a happy one ("not good" holds "good").
    """
    text = text[:MAX_TEXT]
    plain = _plain(text)
    padded = f" {plain} "
    found: dict[str, object] = {}
    intent = _intent(plain, padded, text)
    if intent:
        found["intent"] = intent
    rating = _rating(text)
    if rating:
        found["rating"] = rating
    mood = _mood(padded, text, intent, rating)
    if mood:
        found["mood"] = mood
    choice = next((word for word, phrases in _CHOICE if _has(padded, phrases)), "")
    if choice:
        found["choice"] = choice
    return found


def _plain(text: str) -> str:
    """Small letters without accents, words apart by one space. The Polish l with a stroke has no accent to take off."""
    folded = unicodedata.normalize("NFKD", text.lower().replace("ß", "ss").replace("ł", "l"))
    return " ".join("".join(c if c.isalnum() else " " for c in folded if not unicodedata.combining(c)).split())


def _has(padded: str, phrases: tuple[str, ...]) -> bool:
    """A phrase at the start of a word; stems of six letters and more may go on (Polish and German endings)."""
    return any(
        f" {phrase} " in padded or (len(phrase) >= 6 and f" {phrase}" in padded) or _stem(padded, phrase)
        for phrase in phrases
    )


def _stem(padded: str, phrase: str) -> bool:
    """A short stem with at most three letters of ending: `zle`, `dobra`, `kiepski`."""
    at = padded.find(f" {phrase}")
    while at >= 0:
        end = padded.find(" ", at + 1 + len(phrase))
        if len(phrase) >= 4 and end - (at + 1 + len(phrase)) <= 2:
            return True
        at = padded.find(f" {phrase}", at + 1)
    return False


def _intent(plain: str, padded: str, text: str) -> str:
    alone = _ALONE.get(plain)
    if alone:
        return alone
    for intent, phrases in _INTENT:
        if _has(padded, phrases):
            return intent
    first = next(iter(plain.split()), "")
    if "?" in text or any(plain.startswith(f"{word} ") for word in _ASKING if " " in word):
        return "question"
    if first in _ASKING and len(plain.split()) > 2:
        return "question"
    return _ALONE.get(first, "") if len(plain.split()) <= 3 else ""


def _rating(text: str) -> int:
    stars = sum(1 for sign in text if sign in "⭐★🌟")
    if 1 <= stars <= 5:
        return stars
    low = text.strip().lower()
    if re.fullmatch(r"\*{1,5}", low):
        return len(low)
    said = _RATED.search(low)
    if said is None and len(low) <= 12:
        said = _RATING.search(low)
    return int(said[1]) if said else 0


def _mood(padded: str, text: str, intent: str, rating: int) -> str:
    if rating:
        return "unhappy" if rating <= 2 else "happy" if rating >= 4 else "neutral"
    if _has(padded, _FAINT) and intent != "complaint":
        return "happy"
    if intent == "complaint" or _has(padded, _UNHAPPY) or any(sign in _BAD_SIGNS for sign in text):
        return "unhappy"
    if _has(padded, _HAPPY) or any(sign in _GOOD_SIGNS for sign in text):
        return "happy"
    return "neutral" if _has(padded, _NEUTRAL) else ""
