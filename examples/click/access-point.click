// A wireless access point for an open network: beacons, probes, authentication, association, and data to and from
// the host's interface `ap`.
//
// It only flattens: AtomicNF has no wireless classes, and says so for all of them at once when asked to run it.
//   anf-sidecar flatten examples/click/access-point.click          prints it, taken apart
//   anf-sidecar run -q examples/click/access-point.click           lists the classes that are missing
// It is here because the language does not depend on the classes: such a file can be read, drawn, checked for
// duplicate names and wrong connections, and cut into parts.

define($RADIO wlan0, $HOST ap, $SSID "open-air");
AddressInfo(station 172.30.0.1/24 02:00:ac:1e:00:01);

network :: WirelessInfo(SSID $SSID, BSSID 02:00:ac:1e:00:01, CHANNEL 6);
rates :: AvailableRates(DEFAULT 2 4 11 22);

// The air.
//   input     802.11 frames to send       output 0  data frames       output 1  management frames
radio :: {
  input -> Queue(50) -> SetTXRate(2) -> ExtraEncap -> ToDevice($RADIO);
  FromDevice($RADIO)
    -> ExtraDecap -> FilterPhyErr -> FilterTX -> WifiDupeFilter
    -> frame :: Classifier(0/08%0c 1/01%03, 0/00%0c, -)
    -> [0]output;
  frame[1] -> [1]output;
  frame[2] -> Discard;
};

// What stations ask for before they may send.
//   input     management frames           output    answers, and beacons of our own accord
manage :: {
  input -> kind :: Classifier(0/00%f0, 0/40%f0, 0/b0%f0, -)
    -> AssociationResponder(WIRELESS_INFO network, RT rates)
    -> output;
  kind[1] -> BeaconSource(WIRELESS_INFO network, RT rates) -> output;
  kind[2] -> OpenAuthResponder(WIRELESS_INFO network) -> output;
  kind[3] -> Discard;
};

radio[1] -> manage -> radio;
radio[0] -> WifiDecap -> HostEtherFilter(station, DROP_OWN true) -> ToHost($HOST);
FromHost($HOST, station, ETHER station) -> WifiEncap(0x02, WIRELESS_INFO network) -> radio;
