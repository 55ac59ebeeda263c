"""Footage shared between two parties: readable only with both consents (seed 002, section 3.2).

Stills are shared pixel by pixel mod 256, encoded video segments byte by byte; one party's share
is a 32-byte seed. ``specs/footage.md`` has the bytes and the argument.

Threat model: either party may do anything with its share, except talk to the other. It learns
what `public.Statement` says (camera, times, size) and nothing of the picture. A share that was
changed is refused at the reveal, and the party named; a party can always refuse to open, or
withhold regions of a still. The camera sees everything and is trusted.

    section of the specification     here
    2, 4, 5  contents and bytes      `public`
    3  sharing                       `protect.share_still`, `protect.share_segment`
    3  pieces and commitments        `pieces`
    6  a party's check               `compute.check`
    7  opening, withholding          `compute.open_share`
    8  reveal                        `reveal.reveal`
"""
