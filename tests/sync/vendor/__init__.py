"""Another vendor's node, written after docs/sync.md alone: it knows nothing of this program's code.

written    JSON as it was written, and the names of versions
places     places in the hub's log, epochs, and the fork between two lists of them
receipts   what the hub signed, verified without it
calling    enrolment, tokens, and requests
node       the node: what it keeps, sends, and takes
"""
