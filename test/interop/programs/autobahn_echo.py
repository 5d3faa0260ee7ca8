# Autobahn's own echo server, under Python 2.7: autobahn_echo.py PORT EXTERNAL-PORT
# It refuses a Host with another port than the external one, which is the sidecar's where there is one before it.
import sys

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from twisted.internet import reactor


class Echo(WebSocketServerProtocol):
    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


def accept(offers):
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)


port, external = int(sys.argv[1]), int(sys.argv[2])
factory = WebSocketServerFactory("ws://127.0.0.1:%d" % port, externalPort=external)
factory.protocol = Echo
factory.setProtocolOptions(failByDrop=False, perMessageCompressionAccept=accept)
reactor.listenTCP(port, factory, interface="127.0.0.1")
reactor.run()
