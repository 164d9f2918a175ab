"""hub — what the province's server does for its nodes: it takes what they send, and tells them.

https://hl7.org/fhir/R4/http.html#history

`receiving` takes a chunk, group by group: `looking` reads all that a group is judged by, `fitness`
judges, `tree` works out what is written of a resource and `growing` makes it, `taking` puts it
together. What is kept apart is in `quarantine`, and is looked at again by `waking` and `tending`.
`pulling` tells a node what is new of the patients that `homes` finds to be its own.
"""
