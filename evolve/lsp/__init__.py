"""The linter in an editor: a language server, and the process beside it that reads revisions.

Reading a revision copies the process that asks, which only a process of one thread may do, and a language server has
several. So `server` speaks with the editor, `worker` judges, and the two exchange lines of JSON (`messages`).
"""
