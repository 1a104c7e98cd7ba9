"""The compression methods, found by file name. Listing them imports none of them; see ``methods/_listing.py``."""

from methods._listing import Field, code, fields, load, names, needs, summary

__all__ = ["Field", "code", "fields", "load", "names", "needs", "summary"]
