"""The command line without the installed command:        python -m tinyvae train …"""
import sys

from .cli import main

sys.exit(main())
