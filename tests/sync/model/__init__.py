"""An executable model of the sync protocol: a hub, nodes, a bad line, and people.

The protocol with its HTTP, SQL and FHIR taken out: what is left is versions, places, transactions
and messages. `world` plays the people, the line and the disks; `checks` says what must hold;
`schedules` runs and shrinks them. A mutant breaks one rule, so that the checks can be checked.

    python -m tests.sync.model --seeds 20000     every schedule must hold
    python -m tests.sync.model --mutants         every way of breaking a rule must be caught
    python -m tests.sync.model --seed 17 --trace one schedule, step by step
"""
