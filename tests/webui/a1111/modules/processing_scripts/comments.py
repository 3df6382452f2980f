"""`#` to the end of its line; the line goes too."""

import re

from modules import scripts, shared


def strip_comments(text):
    text = re.sub("(^|\n)#[^\n]*(\n|$)", "\n", text)
    return re.sub("#[^\n]*(\n|$)", "\n", text)


class Comments(scripts.Script):
    filename = __file__

    def title(self):
        return "Comments"

    def process(self, p, *args):
        if shared.opts.enable_prompt_comments:
            p.all_prompts = [strip_comments(text) for text in p.all_prompts]
            p.all_negative_prompts = [strip_comments(text) for text in p.all_negative_prompts]
            if p.enable_hr:
                p.all_hr_prompts = [strip_comments(text) for text in p.all_hr_prompts]
                p.all_hr_negative_prompts = [strip_comments(text) for text in p.all_hr_negative_prompts]
