"""What letters have in common: addresses, one-click unsubscribe, and the reply address that names the send."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.errors import MessageRefused
from orchestrator_channels._building import one_line

#: Plain ASCII mailboxes without quoting. Providers refuse most of the rest, and quoting is where injections hide.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}")


def is_address(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 254 and _ADDRESS.fullmatch(value) is not None


def address(to: object) -> str:
    """The address, with an international domain in its ASCII form. Raises MessageRefused."""
    if isinstance(to, str) and not to.isascii():
        local, _, domain = to.rpartition("@")
        try:
            to = f"{local}@{domain.encode('idna').decode('ascii')}"
        except UnicodeError:
            to = ""
    if not isinstance(to, str) or not is_address(to):
        raise MessageRefused("not an e-mail address", code="invalid_address", fix="correct addresses.email")
    return to


def subject(message: OutgoingMessage) -> str:
    if not message.content.subject.strip():
        raise MessageRefused("the e-mail has no subject", code="invalid_content", fix="give the message a subject")
    return one_line(message.content.subject, "subject")


def unsubscribe_headers(message: OutgoingMessage) -> dict[str, str]:
    """RFC 8058. One click only over HTTPS, as the RFC demands; the provider or relay signs both headers with DKIM."""
    url = message.unsubscribe_url
    if not url:
        return {}
    if any(character in url for character in "<>, ") or not url.startswith(("https://", "http://")):
        raise MessageRefused("the unsubscribe address is not a URL", code="invalid_content")
    headers = {"List-Unsubscribe": f"<{one_line(url, 'unsubscribe address')}>"}
    if url.startswith("https://"):
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


def reply_address(reply_to: str, send_id: str) -> str:
    """`replies+<send_id>@…`: whoever answers names the send, whatever their mail program does with headers."""
    local, _, domain = reply_to.rpartition("@")
    return f"{local}+{send_id}@{domain}"


def send_id_of(recipient: str) -> str:
    """The send an answer belongs to, read from the address it was written to; empty when there is none."""
    local = recipient.rpartition("@")[0]
    return local.partition("+")[2]


#: Where a mail program begins to quote the letter that is answered.
_QUOTE = re.compile(r"^\s*(?:>|On\b.{0,200}\bwrote:\s*$|-{2,}\s*Original Message|_{10,}\s*$|From:\s.+@)", re.IGNORECASE)


def visible_reply(text: str) -> str:
    """What the customer wrote, without the quoted letter below it. Without such a part: the text as it is."""
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if _QUOTE.match(line):
            break
        lines.append(line)
    return "\n".join(lines).strip() or text.strip()


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden += 1
        elif tag in ("br", "p", "div", "li", "tr", "blockquote"):
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style") and self._hidden:
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def text_of_html(html: str) -> str:
    """The words of an HTML letter, for mail programs that send no plain text."""
    parser = _Text()
    try:
        parser.feed(html)
        parser.close()
    except AssertionError:
        # The standard parser gives up on some broken declarations; what it read so far stays.
        pass
    return "".join(parser.parts).strip()


def stable_id(*parts: str) -> str:
    """An id for something the provider gives none: the same parts give the same id."""
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
