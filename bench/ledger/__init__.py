"""The ledger: the deployed handlers in one process, and what each thing that clients do is billed for.

``capacity`` has DynamoDB's rules, ``dynamodb`` applies them, ``deployment`` runs the handlers, ``steps`` is what is
done, ``document`` what ``tidewire cost`` reads.
"""
