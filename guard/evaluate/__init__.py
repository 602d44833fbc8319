"""How good are the detectors? Labelled transcripts in; recall, false alarms, delay and cost out.

line --labels.py--> Labelled --measure.py--> Measured --report.py--> Report --> tables.py, page.py
     what is true            what was found           statistics.py             for a terminal, for a browser
"""
