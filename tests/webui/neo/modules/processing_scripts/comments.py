"""`#` and `//` to the end of the line, and what is between `/*` and `*/`."""

import re

from modules import scripts, shared


def strip_comments(text):
    if not shared.opts.enable_prompt_comments:
        return text
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"[^\S\n]*(#|//).*", "", text)


class Comments(scripts.Script):
    filename = __file__

    def title(self):
        return "Comments"

    def process(self, p, *args):
        p.all_prompts = [strip_comments(text) for text in p.all_prompts]
        p.all_negative_prompts = [strip_comments(text) for text in p.all_negative_prompts]
        if p.enable_hr:
            p.all_hr_prompts = [strip_comments(text) for text in p.all_hr_prompts]
            p.all_hr_negative_prompts = [strip_comments(text) for text in p.all_hr_negative_prompts]
