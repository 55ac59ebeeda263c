"""The plaintext twin: the reference that every other scheme is tested and measured against.

Threat model: NONE. Nothing is protected. The matching server holds the templates as they
are, sees every probe and computes every score; so does everybody who reads its disk or its
network. Roles outside tests and benchmarks refuse this scheme unless they are asked for it
with a word like ``insecure``.

It has the shape of every scheme, so that whatever holds for all of them can be checked on
this one first:

========  ==================================================  =============
value     bytes                                               size
========  ==================================================  =============
head      none                                                0
body      the templates, int32 little-endian, row by row      4·rows·width
probe     int32 little-endian                                 4·width
answer    inner products, int64 little-endian, one a row      8·rows
========  ==================================================  =============
"""
