"""`python -m onnxq.codes` prints docs/codes.md."""

from onnxq.codes.document import document

print(document(), end="")
