"""Rendering in killable processes: a template that does not end fails one send, and the next is not affected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.errors import TemplateFailed
from orchestrator.language.messages import parse_message
from orchestrator.language.program import MessageTemplate
from orchestrator.runtime import render_pool
from orchestrator.runtime.render_pool import RenderPool

FACTS: dict[str, Any] = {"product": {"name": "Plate"}, "order": {"lines": [{"name": "x" * 4_000}] * 100}}


def template(sms: str) -> MessageTemplate:
    parsed, findings = parse_message("messages/note.md", "---\nsms: hello\nsubject: '{{ product.name }}'\n---\nHello\n")
    assert parsed is not None, findings
    return replace(parsed.template, channels={**parsed.template.channels, "sms": {"text": sms}})


#: It passes every check, for its loops are short; with long facts it works for seconds.
ENDLESS = (
    "{% for a in order.lines %}{% for b in order.lines %}"
    "{{ order.lines | join(a.name) | length }}{% endfor %}{% endfor %}"
)


@pytest.fixture
async def pool() -> AsyncIterator[RenderPool]:
    pool = RenderPool(1)
    yield pool
    await pool.close()


async def test_the_same_content_as_here(pool: RenderPool) -> None:
    content = await pool.render(template("Time for {{ product.name }}?"), "sms", FACTS)
    assert content.text == "Time for Plate?"
    mail = await pool.render(template("x"), "email", FACTS, unsubscribe_url="https://shop.test/u")
    assert mail.subject == "Plate"
    assert "https://shop.test/u" in mail.html


async def test_a_fault_of_the_template_comes_back_in_words(pool: RenderPool) -> None:
    with pytest.raises(TemplateFailed, match=r"'colour' is missing for this customer"):
        await pool.render(template("{{ product.colour }}"), "sms", FACTS)


async def test_what_does_not_end_is_killed_and_the_next_is_served(pool: RenderPool) -> None:
    await pool.render(template("warm"), "sms", FACTS)
    began = time.monotonic()
    with pytest.raises(TemplateFailed, match="did not end within 200 ms"):
        await pool.render(template(ENDLESS), "sms", FACTS)
    assert time.monotonic() - began < render_pool.LIMIT * render_pool.PATIENCE
    assert (await pool.render(template("next"), "sms", FACTS)).text == "next"


async def test_too_much_output_is_refused(pool: RenderPool) -> None:
    much = "{% for a in order.lines %}{% for b in order.lines %}{{ b.name }}{% endfor %}{% endfor %}"
    with pytest.raises(TemplateFailed, match="more than 64 KiB"):
        await pool.render(template(much), "sms", FACTS)


async def test_a_cancelled_render_leaves_no_answer_behind(pool: RenderPool) -> None:
    await pool.render(template("warm"), "sms", FACTS)
    task = asyncio.create_task(pool.render(template(ENDLESS), "sms", FACTS))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await pool.render(template("mine"), "sms", FACTS)).text == "mine"


async def test_many_at_once_share_the_processes(pool: RenderPool) -> None:
    texts = [f"number {number}" for number in range(20)]
    contents = await asyncio.gather(*(pool.render(template(text), "sms", FACTS) for text in texts))
    assert [content.text for content in contents] == texts


async def test_a_process_that_died_is_replaced(pool: RenderPool) -> None:
    await pool.render(template("one"), "sms", FACTS)
    process = pool._workers[0]._process
    assert process is not None
    process.kill()
    await process.wait()
    assert (await pool.render(template("two"), "sms", FACTS)).text == "two"
