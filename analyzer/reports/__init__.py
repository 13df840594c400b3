"""Reports: what is known of a trace or an incident, as one document for people.

`report.py` builds the `Report`, `markdown.py` and `html.py` write it. Nothing is found here that the engine has not
found: a report orders, explains and advises.
"""
