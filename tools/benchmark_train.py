"""``mmnetaug speed`` as a script."""

from mmnetaug.cli.run import run_command

if __name__ == '__main__':
    run_command('speed')
