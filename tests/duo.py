"""Both parties in threads of this process, so that a test can slow them, look into them and stop one."""

from __future__ import annotations

import threading

from blindsight.blind.party import Party
from party_process import QUICK


class Duo:
    """The parties of a town, and the alerts that each raised."""

    def __init__(self, town, timing=QUICK):
        self.town, self.timing = town, timing
        self.alerts = ([], [])
        self.parties, self.threads = [None, None], [None, None]

    def start(self, *which):
        for number in which or (1, 0):
            self.parties[number] = party = Party(
                number,
                self.town.identities[number],
                self.town.folder / f"list{number}",
                self.town.folder / f"data{number}",
                ("127.0.0.1", self.town.ports[number]),
                ("127.0.0.1", self.town.ports[1]) if number == 0 else None,
                on_alert=self.alerts[number].append,
                timing=self.timing,
            )
            self.threads[number] = threading.Thread(target=party.run)
            self.threads[number].start()
        return self

    def stop(self, *which):
        for number in which or (0, 1):
            if self.parties[number] is not None:
                self.parties[number].stop()
                self.threads[number].join(20)
                assert not self.threads[number].is_alive()
                self.parties[number] = None
