"""Command-line options, read by the WebUI before anything else is loaded."""


def preload(parser):
    parser.add_argument(
        "--w2sd-verbose",
        action="store_true",
        help="W2SD: print a line for every sampling pass: reflected steps, UNet rows, seconds",
    )
