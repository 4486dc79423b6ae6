"""``python -m mmnetaug`` is ``mmnetaug``."""

from mmnetaug.cli.run import main

if __name__ == '__main__':
    main()
