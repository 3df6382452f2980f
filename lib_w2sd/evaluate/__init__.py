"""Is it better on *my* checkpoint? Pairs of pictures from a running WebUI, with and without W2SD, scored and counted.

    python -m lib_w2sd.evaluate http://127.0.0.1:7860 --reward models/rewards/PickScore_v1

One module a question: `ways` (what is compared), `webui` (how a picture is drawn), `verdict` (what the scores say),
`study` (what is kept, and when it is enough), `report` (how it is told), `blind` (your own eye).
"""
