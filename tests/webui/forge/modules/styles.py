from modules.processing_scripts.comments import strip_comments


class Styles:
    """None is ever chosen; comments go all the same."""

    def apply_styles_to_prompt(self, prompt, styles):
        return strip_comments(prompt).strip()

    apply_negative_styles_to_prompt = apply_styles_to_prompt
