"""`#` to the end of its line. No script: the styles take it out."""

import re

from modules import shared


def strip_comments(text):
    if shared.opts.enable_prompt_comments:
        text = re.sub("(^|\n)#[^\n]*(\n|$)", "\n", text)
        text = re.sub("#[^\n]*(\n|$)", "\n", text)
    return text
