# SPDX-License-Identifier: Apache-2.0
"""A simulated field: three zones whose soil dries, valves that wet them when told to, and rain at times.

It knows nothing of marks and rules. It reports over MQTT, does what commands say, and prints what it sees."""
import json
import queue
import time

import paho.mqtt.client as paho

ZONES = ("north", "middle", "south")
MOISTURE = (24.0, 32.0, 28.0)  # of each zone at the beginning, % by volume
MINUTES_A_SECOND = 10  # of the field's time, at speed 1
STEP = 0.1             # seconds between two reports
ANSWER = 0.3           # seconds that a valve takes to move
DRYING, IRRIGATION, RAIN = -3.0, 20.0, 5.0  # change of moisture, % an hour
RAIN_EVERY, RAIN_LASTS, RAIN_MM = 360, 40, 2.5  # minutes, minutes, mm an hour


def connect(port):
    """A client of paho 1 or 2."""
    if hasattr(paho, "CallbackAPIVersion"):
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    else:
        client = paho.Client()
    client.connect("127.0.0.1", port)
    return client


class Zone:
    def __init__(self, name, moisture, stuck):
        self.name, self.moisture, self.stuck = name, moisture, stuck
        self.state = "closed"
        self.moves = None  # (when, new state): a command that the valve is following

    def command(self, command, now):
        if not self.stuck:
            self.moves = (now + ANSWER, "opened" if command == "open" else "closed")

    def step(self, now, hours, raining):
        """Returns the new state when the valve has just got there, else None."""
        rate = DRYING + (IRRIGATION if self.state == "opened" else 0) + (RAIN if raining else 0)
        self.moisture = min(max(self.moisture + rate * hours, 0.0), 60.0)
        if self.moves and self.moves[0] <= now:
            self.state, self.moves = self.moves[1], None
            return self.state
        return None


class Field:
    """The field and its link to the broker at 127.0.0.1:port."""

    def __init__(self, port, speed, stuck):
        self.zones = {name: Zone(name, moisture, name == stuck) for name, moisture in zip(ZONES, MOISTURE)}
        self.minutes_a_second = MINUTES_A_SECOND * speed
        self.minute, self.raining = 0.0, False
        self.inbox = queue.SimpleQueue()  # from the client's thread to run()
        self.subscribed = queue.SimpleQueue()
        self.client = connect(port)
        self.client.on_message = lambda _client, _data, message: self.inbox.put(message)
        self.client.on_subscribe = lambda *_: self.subscribed.put(True)

    def say(self, text):
        hours, minutes = divmod(int(self.minute), 60)
        print(f"{hours:02}:{minutes:02} {text}", flush=True)

    def publish(self, topic, **event):
        self.client.publish(topic, json.dumps(event), qos=1)

    def receive(self, message, now):
        event = json.loads(message.payload)
        if message.topic == "field/alert":
            self.say(f"ALERT {event['zone']}: no answer to {event['command']}")
            return
        self.say(f"command {event['zone']}: {event['command']} moisture={event['moisture']} rain={event['rain']}")
        self.zones[event["zone"]].command(event["command"], now)

    def weather(self):
        raining = self.minute >= RAIN_EVERY / 2 and (self.minute - RAIN_EVERY / 2) % RAIN_EVERY < RAIN_LASTS
        if raining != self.raining:
            self.say("rain begins" if raining else "rain ends")
        self.raining = raining
        self.publish("field/report/weather", rain=RAIN_MM if raining else 0.0)

    def step(self, now, seconds):
        while not self.inbox.empty():
            self.receive(self.inbox.get(), now)
        minutes = seconds * self.minutes_a_second
        self.minute += minutes
        self.weather()
        for zone in self.zones.values():
            state = zone.step(now, minutes / 60, self.raining)
            if state:
                self.say(f"valve {zone.name}: {state}")
                self.publish("field/valve/state", zone=zone.name, state=state)
            self.publish("field/report/soil", zone=zone.name, moisture=round(zone.moisture, 1))

    def run(self, seconds, go_on):
        """Lives for so many seconds (None: for ever), while go_on()."""
        self.client.loop_start()
        try:
            self.client.subscribe([("field/valve/command", 1), ("field/alert", 1)])
            self.subscribed.get(timeout=10)
            begin = last = time.monotonic()
            while go_on() and (seconds is None or last - begin < seconds):
                time.sleep(STEP)
                now = time.monotonic()
                self.step(now, now - last)
                last = now
        finally:
            self.client.disconnect()
            self.client.loop_stop()
