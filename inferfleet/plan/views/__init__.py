"""The forms in which a plan is shown: data, Markdown, a page; the terminal's is in `inferfleet.plan_cli`.

`words` and `fleet` say what is shown and in which words, so that all forms say the same.
"""
