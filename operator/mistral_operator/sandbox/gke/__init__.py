"""A simulated GKE: the node pool half of `google.container.v1`, its virtual machines and its cluster autoscaler.

A stand-in made for tests and laptops. It enforces GKE's rules as far as they are known and answers in GKE's own words
where those are known; nothing here has ever been compared with a live cluster. It shares no code with the operator.

    server ─► cloud ─► rules, operations, provisioning ─► fleet ─► nodes (the API server)
                                                           ▲ │
    control, timeline ─► actions, upgrades ────────────────┤ └─► stock, reservations ◄─ inventory (read only)
                                                           │
                       autoscaler: scale_up, scale_down ───┘  watches pods, writes events
                                      └─► auto_creation ─► class_pools  watches ComputeClasses, makes their pools

Not simulated: ProvisioningRequests (a queued pool never grows), DWS' queue, blocks of reservations, the half hour until
the autoscaler sees a new reservation, live migration, changes between a pool's ways to get machines.
"""
