"""Invented: the data set has no categories, so a word of the description decides. The first row that fits wins."""

from __future__ import annotations

import re
from functools import lru_cache

#: What is in no row.
OTHER = "decoration"

#: Category, and words that put a product into it.
TABLE: tuple[tuple[str, str], ...] = (
    ("christmas", "christmas xmas advent santa reindeer snowflake snowman noel bauble"),
    ("warmers", "warmer"),
    ("candles", "candle candles t-light t-lights tlight incense scented lantern votive burner"),
    ("bags", "bag bags shopper purse washbag suitcase luggage passport wallet"),
    ("lunch and picnic", "lunch snack picnic flask cutlery straws"),
    ("baking", "cake cakestand cakes baking bake cutter cutters recipe jam jelly cookie cookies muffin pastry whisk"),
    ("tea and coffee", "tea teapot mug mugs cup cups saucer coffee coaster coasters teatime teaspoons cosy"),
    (
        "kitchen",
        "kitchen bowl bowls plate plates spoon spoons apron jar jars tray dish tin tins enamel pantry glass glasses "
        "jug bottle towel towels chopping mould moulds pot pots egg butter scales timer oven bread popcorn",
    ),
    ("cards and wrapping", "card cards wrap wrapping ribbon ribbons tissue tissues tape envelope gift-tape"),
    (
        "stationery",
        "notebook pen pens pencil pencils sticker stickers magnet magnets eraser erasers calendar book books rubber "
        "stamp stamps stationery chalk chalkboard blackboard memo notepad diary organiser journal",
    ),
    ("party", "party bunting balloon balloons birthday garland streamers napkins doilies doily confetti invites"),
    (
        "jewellery",
        "necklace bracelet bracelets earrings earring ring charm brooch bangle hair pendant diamante bead beads anklet",
    ),
    (
        "toys",
        "children childrens children's childs child's toy toys game games doll dolls jigsaw spaceboy dolly puppet "
        "puppets skittles dinosaur dinosaurs playing knitting blocks block dominoes ludo yoyo skipping crayons",
    ),
    ("garden", "garden plant planter plants watering bird birdhouse parasol herb seed seeds gardeners trowel umbrella"),
    ("bathroom", "bath bathroom soap wash toilet toothbrush"),
    ("sewing and crafts", "sewing felt feltcraft craft knit button buttons scissor scissors patches fabric"),
    ("textiles", "cushion cushions quilt throw blanket doorstop slippers socks scarf"),
    (
        "storage",
        "box boxes drawer drawers basket baskets cabinet rack hook hooks hanger hangers storage crate holder tidy",
    ),
    (
        "walls and doors",
        "sign frame frames clock clocks mirror doormat wall picture knob knobs letter art photo plaque",
    ),
    ("lights", "light lights lamp chandelier bulb"),
)

_BY_WORD = {
    word: (rank, category) for rank, (category, words) in reversed(list(enumerate(TABLE))) for word in words.split()
}
_WORD = re.compile(r"[a-z][a-z'\-]*")


@lru_cache(maxsize=8_192)
def category_of(description: str) -> str:
    """The category of a product, by the words of its description; `decoration` when no word tells."""
    found = [_BY_WORD[word] for word in _WORD.findall(description.lower()) if word in _BY_WORD]
    return min(found)[1] if found else OTHER
