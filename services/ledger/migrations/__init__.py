"""The ledger's migrations, run by role farebox_owner; services/ledger/schema.py is the aim."""
