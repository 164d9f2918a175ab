"""conflicts — resources that were changed at two places in ways that only a person can make one.

https://hl7.org/fhir/R4/http.html#concurrency
https://hl7.org/fhir/R4/task.html

All versions are kept, a Task shows them side by side (`task`), and what a person chooses is the
next version of all of them (`resolving`). `keeping` says what is written when a conflict begins,
changes and ends; `asked` answers the commands.
"""
