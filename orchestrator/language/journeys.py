"""A folder's texts → one Program. Every fault of every file is reported at once.

The same mapping of texts, as canonical JSON, is the body stored under the program's version: a worker anywhere
rebuilds the identical program from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from orchestrator.errors import Finding, JourneysInvalid
from orchestrator.language.compile import Context, compile_journey, parse
from orchestrator.language.findings import Findings, quoted
from orchestrator.language.load import Document, load
from orchestrator.language.messages import (
    ParsedMessage,
    check_reads,
    check_translation,
    name_of,
    parse_message,
    with_translations,
)
from orchestrator.language.model import NAME, BranchForm, JourneyForm, RepeatForm, SendForm, SplitForm, StepForm
from orchestrator.language.policy import DEFAULT, parse_policy
from orchestrator.language.policy import FILE as POLICY_FILE
from orchestrator.language.program import Absence, Clock, Journey, Program, Segment, Stage, Trigger
from orchestrator.language.stages import SEGMENTS_FILE, STAGES_FILE, parse_segments, parse_stages

MESSAGES = "messages/"


def compile_program(files: Mapping[str, str]) -> Program:
    """The program of a journeys folder, given its texts by relative name. Raises JourneysInvalid with every error."""
    program, findings = check_program(files)
    if program is None:
        raise JourneysInvalid(tuple(finding for finding in findings if finding.level == "error"))
    return program


def check_program(files: Mapping[str, str]) -> tuple[Program | None, tuple[Finding, ...]]:
    """The program, None when there are errors, and all findings, warnings included."""
    found = Findings()
    policy = DEFAULT
    if POLICY_FILE in files:
        policy, faults = parse_policy(load(POLICY_FILE, files[POLICY_FILE]))
        found.extend(faults)
    stages: tuple[Stage, ...] = ()
    segments: tuple[Segment, ...] = ()
    if STAGES_FILE in files:
        stages, faults = parse_stages(load(STAGES_FILE, files[STAGES_FILE]))
        found.extend(faults)
    if SEGMENTS_FILE in files:
        segments, faults = parse_segments(load(SEGMENTS_FILE, files[SEGMENTS_FILE]))
        found.extend(faults)
    messages, translations = _messages(files, found)
    templates = {name: parsed.template for name, parsed in messages.items()}
    names = frozenset(name_of(file) for file in files if file.startswith(MESSAGES))
    forms: dict[str, tuple[JourneyForm, Document]] = {}
    for file in sorted(files):
        slug = _slug(file, found)
        if slug is None:
            continue
        document = load(file, files[file])
        form, faults = parse(document)
        found.extend(faults)
        if form is not None:
            forms[slug] = form, document
    given = _given(form for form, _ in forms.values())
    for parsed in (*messages.values(), *translations):
        found.extend(check_reads(parsed, given.get(parsed.template.name, frozenset())))
    literals = {name: given.get(name, frozenset()) & frozenset(parsed.reads) for name, parsed in messages.items()}
    context = Context(templates, policy, names, literals)
    journeys: dict[str, Journey] = {}
    for slug, (form, document) in forms.items():
        journeys[slug], faults = compile_journey(slug, form, document, context)
        found.extend(faults)
    findings = found.sorted()
    if found.errors:
        return None, findings
    return (
        Program(
            version=version_of_body(program_body(files)),
            journeys=journeys,
            messages=templates,
            policy=policy,
            triggers=triggers_of(journeys),
            watchers=watchers_of(journeys),
            absences=absences_of(journeys),
            clocks=clocks_of(journeys),
            stages=stages,
            segments=segments,
        ),
        findings,
    )


def _messages(files: Mapping[str, str], found: Findings) -> tuple[dict[str, ParsedMessage], list[ParsedMessage]]:
    """The messages by name, each with its translations; and the translations by themselves."""
    own: dict[str, ParsedMessage] = {}
    translated: dict[str, dict[str, ParsedMessage]] = {}
    for file in sorted(name for name in files if name.startswith(MESSAGES) and name.endswith(".md")):
        parsed, faults = parse_message(file, files[file])
        found.extend(faults)
        if parsed is None:
            continue
        template = parsed.template
        if template.locale:
            translated.setdefault(template.name, {})[template.locale] = parsed
        else:
            own[template.name] = parsed
    translations = [parsed for locales in translated.values() for parsed in locales.values()]
    for parsed in translations:
        file, name = parsed.template.file, parsed.template.name
        if f"{MESSAGES}{name}.md" not in files:
            found.add(Finding(file, 1, 1, f"a translation of no message: {quoted(name)}", f"write messages/{name}.md"))
        elif name in own:
            found.extend(check_translation(own[name], parsed))
    messages = {name: with_translations(parsed, translated.get(name, {})) for name, parsed in own.items()}
    return messages, translations


def _slug(file: str, found: Findings) -> str | None:
    """The journey's slug, or None for a file that is no journey."""
    if file in (POLICY_FILE, STAGES_FILE, SEGMENTS_FILE) or file.startswith(MESSAGES):
        if file.startswith(MESSAGES) and not file.endswith(".md"):
            found.add(Finding(file, 1, 1, "messages are Markdown files", "name it messages/<name>.md"))
        return None
    slug = file.removesuffix(".yaml")
    if "/" in file:
        found.add(Finding(file, 1, 1, "a journey in a folder of its own", "put it beside the other journeys"))
    elif file.startswith("_"):
        found.add(
            Finding(
                file,
                1,
                1,
                f"{quoted(file)} is not known to this version",
                f"only {POLICY_FILE}, {STAGES_FILE} and {SEGMENTS_FILE} start with _",
            )
        )
    elif slug == file or not NAME.fullmatch(slug):
        found.add(
            Finding(
                file,
                1,
                1,
                f"{quoted(file)} is not a journey's file name",
                "name it in snake_case: refill_reminder.yaml",
            )
        )
    else:
        return slug
    return None


def _given(forms: Iterable[JourneyForm]) -> dict[str, frozenset[str]]:
    """message → names that some send gives it by `with`."""
    given: dict[str, frozenset[str]] = {}
    left: list[StepForm] = [step for form in forms for step in form.steps]
    while left:
        step = left.pop()
        if isinstance(step, SendForm):
            for message in step.send:
                given[message] = given.get(message, frozenset()) | frozenset(step.with_)
        elif isinstance(step, BranchForm):
            for case in step.branch:
                left += [*(case.then or ()), *(case.else_ or ())]
        elif isinstance(step, SplitForm):
            left += [one for arm in step.split for one in arm.then or ()]
        elif isinstance(step, RepeatForm):
            left += step.repeat.steps
    return given


_LIVE = frozenset({"live"})


def triggers_of(journeys: Mapping[str, Journey], statuses: frozenset[str] = _LIVE) -> dict[str, tuple[Journey, ...]]:
    """Journeys of these statuses per event type that starts them, the most important first, then by name."""
    triggers: dict[str, tuple[Journey, ...]] = {}
    for journey in _ranked(journeys, statuses):
        if isinstance(journey.trigger, Trigger):
            event = journey.trigger.match.type
            triggers[event] = (*triggers.get(event, ()), journey)
    return triggers


def watchers_of(journeys: Mapping[str, Journey], statuses: frozenset[str] = _LIVE) -> tuple[Journey, ...]:
    """Journeys of these statuses that no event starts: by an absence or by the clock."""
    return tuple(journey for journey in _ranked(journeys, statuses) if not isinstance(journey.trigger, Trigger))


def clocks_of(journeys: Mapping[str, Journey], statuses: frozenset[str] = _LIVE) -> tuple[Journey, ...]:
    """Journeys of these statuses that start by the clock."""
    return tuple(journey for journey in watchers_of(journeys, statuses) if isinstance(journey.trigger, Clock))


def absences_of(journeys: Mapping[str, Journey], statuses: frozenset[str] = _LIVE) -> dict[str, tuple[Journey, ...]]:
    """Journeys of these statuses per event type whose absence starts them."""
    absences: dict[str, tuple[Journey, ...]] = {}
    for journey in watchers_of(journeys, statuses):
        if isinstance(journey.trigger, Absence):
            event = journey.trigger.event
            absences[event] = (*absences.get(event, ()), journey)
    return absences


def _ranked(journeys: Mapping[str, Journey], statuses: frozenset[str]) -> list[Journey]:
    order = sorted(journeys.values(), key=lambda journey: (-journey.priority, journey.slug))
    return [journey for journey in order if journey.status in statuses]


def with_drafts(program: Program) -> Program:
    """The program with its drafts live: for trying them out."""
    statuses = frozenset({"live", "draft"})
    return replace(
        program,
        triggers=triggers_of(program.journeys, statuses),
        watchers=watchers_of(program.journeys, statuses),
        absences=absences_of(program.journeys, statuses),
        clocks=clocks_of(program.journeys, statuses),
    )


def program_body(files: Mapping[str, str]) -> bytes:
    """The texts as canonical JSON: what is stored under the program's version."""
    return json.dumps(dict(files), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def version_of_body(body: bytes) -> str:
    """The address of a body: the first 16 hex digits of its SHA-256. Equal to `Program.version`."""
    return hashlib.sha256(body).hexdigest()[:16]


def program_from_body(body: bytes) -> Program:
    """The program of a stored body. Raises JourneysInvalid when this version of the product cannot read it."""
    files = json.loads(body)
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise JourneysInvalid(
            (Finding("program", 1, 1, "a stored program is not a mapping of texts", "publish it again"),)
        )
    return compile_program(files)
