"""Word accuracy of a recognizer with an output [1, steps, characters] that is trained with CTC.

words.csv has rows such as 17.png,invoice; keys.txt has a character in each line, in the order of
the output. The blank stands before them, and PP-OCR has the space behind them.
"""

import csv
from pathlib import Path

import numpy as np

CHARACTERS = ["", *Path("keys.txt").read_text("utf-8").rstrip("\n").split("\n"), " "]
with open("words.csv", encoding="utf-8") as file:
    WORDS = dict(csv.reader(file))


def metric(outputs, sample):
    """1 where the whole text is right, 0 where it is not."""
    (scores,) = outputs.values()
    best = scores[0].argmax(axis=1)
    changes = best[np.diff(best, prepend=-1) != 0]
    text = "".join(CHARACTERS[i] for i in changes)
    return text.strip() == WORDS[Path(sample.name).name]
