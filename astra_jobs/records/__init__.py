"""Versioned records of the data that passes between the five kinds, stored as JSON Lines.

``labels`` of a record tell how it was made (a planted defect, an imperfection, an injected fault). They are for
reports and tests: no filter, judge or reward reads them, or it would judge itself and pass everything.
"""
