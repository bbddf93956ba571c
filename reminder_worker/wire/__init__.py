"""The layer below single providers, so that each stays one file of settings, tables and decisions.

smpp: ``smsc`` (the line), ``link`` (one bound connection), ``shortmessages`` (alphabets and segments) ·
aws: ``amazon`` (botocore's client over our transport), ``topics`` (what SNS signs) ·
http: ``gateway`` (a gateway as settings describe it).
"""
