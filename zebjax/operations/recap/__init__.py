"""The recap of a run: what it was, what it did and what it cost, as one page.

    read        everything that is known of a run: a folder, a store or a metrics file -> `Facts`
    phases, milestones, checks, spans, results      what follows from that, as pure functions
    learning, running, about                        the sections of the page, as a `Document`
    charts, html, markdown                          how it is shown

Nothing here imports jax, so a recap is written in two seconds beside a run.
"""
