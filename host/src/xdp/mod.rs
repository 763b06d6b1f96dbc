//! Packets straight between a network card's queues and this process: AF_XDP sockets (Documentation/networking/af_xdp.rst).
