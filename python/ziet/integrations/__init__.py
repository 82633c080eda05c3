"""Services that actions can call. In local mode they answer with made-up data and call nobody."""

from __future__ import annotations

from ziet.integrations import google, openai, sendgrid, stripe

__all__ = ["google", "openai", "sendgrid", "stripe"]
