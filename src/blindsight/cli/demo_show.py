"""The demo told to a person who sees it for the first time."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from rich.text import Text

from blindsight.cli.demo_run import GALLERY, Story
from blindsight.cli.output import Output, clean, fields, plural, size, table

_ROWS = 12


def show_steps(output: Output, story: Story, seconds: float, keep: Path | None) -> None:
    """Who took part, what was recognised, what the matcher saw, what it cost."""
    _parties(output, story)
    _recognised(output, story)
    _seen(output, story)
    _times(output, story, seconds)
    if keep is not None:
        where = clean(str(keep))
        port = story.matcher.url.rpartition(":")[2]
        output.show(
            f"\nKept in {where}. To go on with it, serve the matcher again and identify a photo:", "bold"
        )
        output.show(f"  blindsight serve matcher --data {where}/matcher --port {port}")
        output.show(f"  blindsight identify {GALLERY} PHOTO --vault {where}/vault --key-file {where}/key")


def _parties(output: Output, story: Story) -> None:
    people = len({one.subject for one in story.people.enrolled})
    output.show("\nTwo computers, here two processes", "bold")
    output.show(
        fields(
            **{
                "you": "photos, names, vectors, and the one secret key",
                "the matcher": f"process {story.matcher.process_id} at {story.matcher.url}: encrypted "
                "templates and probes; never a photo, a name, a vector, a score or the key",
            }
        )
    )
    output.show("\nEnrolled", "bold")
    output.show(
        fields(
            **{
                plural(people, "person"): f"by photo: {story.people.source}",
                f"{story.generated:,} generated": "random vectors, as far from real faces as other "
                "people's are; they are nobody's, and there so that there is something to search",
            }
        )
    )
    for rejection in story.people.rejections[:_ROWS]:
        output.show(clean(f"not used: {rejection.photo.path.name}: {rejection.sentence}"), "yellow")
    if (more := len(story.people.rejections) - _ROWS) > 0:
        output.show(f"not used: {more:,} more", "yellow")


def _recognised(output: Output, story: Story) -> None:
    output.show(f"\nRecognised under encryption, among {story.templates:,}", "bold")
    shown = table("photo", "decision", "distance", "in the clear", "same", right=("distance", "in the clear"))
    chosen = story.outcomes
    if len(chosen) > _ROWS:
        # What went wrong comes first: it is what one wants to see.
        ordered = sorted(chosen[:-1], key=lambda one: one.right)
        chosen = [*ordered[: _ROWS - 1], chosen[-1]]
    for one in chosen:
        found = f"MATCH  {clean(one.decision.subject or '')}" if one.decision.match else "UNKNOWN"
        decision = Text(found if one.right else f"{found} (it is {clean(one.probe.truth or 'nobody')})")
        decision.stylize("green" if one.right else "bold red")
        score = one.decision.score
        shown.add_row(
            clean(one.probe.label),
            decision,
            "" if score is None else f"{score:.3f}",
            f"{one.plain[0][1]:.3f}",
            "yes" if one.same_best and one.same_decision else "no",
        )
    output.show(shown)
    if len(chosen) < len(story.outcomes):
        output.show(f"… and {len(story.outcomes) - len(chosen):,} more", "dim")
    summary = story.content()["summary"]
    count = summary["probes"]
    output.show(
        f"{summary['recognised']} of {summary['of']} photos of enrolled people recognised; "
        f"a match is a distance up to {story.threshold:g}.\n"
        f"As in the clear: best candidate {summary['same_best_as_in_the_clear']} of {count}, "
        f"decision {summary['same_decision_as_in_the_clear']} of {count}."
    )
    output.show(
        f"The scheme's noise has a standard deviation of {story.noise:.3f} on a squared distance, which\n"
        "shows where a distance is near zero and hardly elsewhere.",
        "dim",
    )


def _seen(output: Output, story: Story) -> None:
    sizes, looks = story.sizes, story.looks
    output.show("\nWhat the matcher saw, and the same in the clear", "bold")
    shown = table("", "size", "chi-square", "entropy", "histogram", right=("size", "chi-square", "entropy"))
    plain = size(sizes["plain_a_template"])
    rows = [
        ("templates, in its file", f"{size(sizes['stored_a_template'])} each", "stored templates"),
        ("  not encrypted", f"{plain} each", "plain templates"),
        ("a probe, as sent", size(sizes["probe"]), "a probe"),
        ("  not encrypted", plain, "plain probe"),
        ("its answer", size(sizes["answer"]), "an answer"),
    ]
    for label, shown_size, name in rows:
        found = looks[name]
        style = "" if not label.startswith(" ") else "dim"
        numbers = f"{found.chi_square:,.2f}", f"{found.entropy:.2f} bits"
        shown.add_row(label, shown_size, *numbers, found.shape, style=style)
    output.show(shown)
    output.show(
        "Counted is the second byte of every number, 256 values. Chi-square, by degree of freedom, is\n"
        "about 1 where they are as even as chance makes them; entropy is at most 8 bits.\n"
        f"The same photo sent twice: {story.repeated:,} of {looks['a probe'].numbers:,} numbers are equal.",
        "dim",
    )
    output.show(
        "Looking random proves nothing by itself; specs/lattice.md has the argument (module-LWE).", "dim"
    )


def _times(output: Output, story: Story, seconds: float) -> None:
    output.show(f"\nTime, {seconds:.1f} s in all", "bold")
    shown = table("once", "", "one search (median)", "", right=("",))
    stages = [(stage, f"{value:.2f} s") for stage, value in story.seconds.items()]
    search = [(stage, f"{value:.2f} ms") for stage, value in story.milliseconds.items()]
    for left, right in zip_longest(stages, search, fillvalue=("", "")):
        shown.add_row(*left, *right)
    output.show(shown)
