"""The shared library of the pipelines: extract to S3 in parts, load with a ledger, check against the source.

Only `pipeline` imports Airflow; everything else takes plain connections and clients, and runs anywhere.
"""
