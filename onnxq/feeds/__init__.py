"""Data: from files, or from memory, to samples that fit the model, read ahead in threads."""

from onnxq.feeds.feed import Feed
from onnxq.feeds.request import DataRequest

__all__ = ["DataRequest", "Feed"]
