"""An answer as a model would stream it: plain English that no detector objects to, cut into tokens of a usual size."""

from __future__ import annotations

import re
from itertools import cycle, islice

PROSE = """\
Every lighthouse keeper on this coast learned the same lesson in his first winter: the lamp is the easy part. Oil
burns, wicks are trimmed, brass can be polished until it shines. What wears a person down is the fog, because fog
has no edge and gives no warning. It arrives over cold water when a warm wind drops, and within an hour the far
headland, the fishing boats and finally the rail of the gallery are gone. Then somebody has to start the horn and
keep it going.

The first horns were driven by hand. Two people worked a bellows in turns of twenty minutes, and the one who rested
was expected to keep the log. Later a small steam engine took over, which meant that coal had to be carried up from
the landing in baskets. A careful crew could have steam up in forty minutes; a careless one needed almost twice as
long, and the difference was read out at the yearly inspection, to general embarrassment.

Supplies came every second week if the sea allowed it. Flour, lamp glass, tobacco, letters and newspapers were
hoisted by a crane whose rope was inspected each time, since a dropped crate could not be replaced before spring.
Children who grew up there remember the smell of wet canvas and the particular quiet after the tender had left. Some
were taught to read from old shipping registers, and could recite the tonnage of vessels they had never seen.

Engineers measured how far the sound carried and were puzzled for years. On some days a ship two miles out heard
nothing while another, farther away, complained about the noise. The explanation turned out to be temperature:
layers of air bend sound upward like a lens, leaving a silent ring around the station. Nothing could be done about
it except to print a warning in the pilot book and to recommend that captains trust the lead line more than their
ears.

Electric motors ended most of this work, and radio beacons ended the rest. Today a technician visits twice a year,
replaces a filter, checks the batteries that the solar panels charge, and signs a form. The rooms where families
lived hold weather instruments now. Visitors climb the stairs in summer, admire the great lens, and ask whether it
was lonely. The honest answer, according to the diaries, is that there was seldom time to find out.
"""


PARAGRAPHS = [paragraph.replace("\n", " ").strip() for paragraph in PROSE.split("\n\n")]
SENTENCES = re.findall(r"\S.*?[.!?](?:\s+|$)", "\n\n".join(PARAGRAPHS) + "\n\n", flags=re.DOTALL)


def tokens(count: int, start: int = 0) -> list[str]:
    """`count` tokens of the prose from sentence number `start` on, over and over; 4.3 characters on average."""
    start %= len(SENTENCES)
    text = "".join(SENTENCES[start:] + SENTENCES[:start])
    # like a byte-pair tokenizer: a word with the space before it, long words in two or three pieces
    pieces = [
        piece for word in re.findall(r"\s?\w+|\s?[^\w\s]|\s", text) for piece in re.findall(r"\s?.{1,6}|\s", word)
    ]
    return list(islice(cycle(pieces), count))
