//! German.

use common::domain::left_out::LeftOutReason;
use common::domain::outcome::JobOutcome;

use super::{Confirmation, Said, Words, say, size};

pub(super) static WORDS: Words = Words {
    your_request: "Ihr Auftrag",
    look: "Vorschau ansehen",
    look_live: "Website ansehen",
    touched: "Betroffene Seiten und Dateien:",
    and_more: |count| format!("und {count} weitere"),
    left_out: "Diese Dateien konnten nicht verwendet werden:",
    why_left_out,
    outcome,
    changed_by_editor: "Stimmt etwas noch nicht? Antworten Sie einfach und schreiben Sie, was. Zum Veröffentlichen wenden Sie sich an den Betreuer der Website.",
    acknowledged: say(
        "Ihre Mail ist angekommen und wird bearbeitet.",
        "Es dauert etwas länger als sonst; die Antwort folgt, sobald alles fertig ist. Zum Anhalten antworten Sie mit dem einen Wort „stopp“.",
    ),
    which_site: say(
        "Welche Ihrer Websites meinen Sie?",
        "Bitte schicken Sie Ihre Mail noch einmal, an die Adresse der Website.",
    ),
    write_to: |site, address| format!("{site}: schreiben Sie an {address}"),
    what_to_do: say(
        "Ihre Mail kam ohne Text an.",
        "Bitte schreiben Sie, was auf Ihrer Website geändert werden soll.",
    ),
    unknown_sender: say(
        "Diese Adresse kennen wir nicht.",
        "Unter ihr ist niemand eingetragen, deshalb wurde nichts getan. Schreiben Sie von der Adresse, die für Ihre Website eingetragen ist, oder bitten Sie den Betreuer der Website, diese hinzuzufügen.",
    ),
    not_permitted: say(
        "Von Ihrer Adresse aus ist das nicht erlaubt.",
        "Es wurde nichts geändert. Bitten Sie den Betreuer der Website um das Recht dazu.",
    ),
    rate_limited: say(
        "Das waren sehr viele Mails in kurzer Zeit.",
        "Diese Mail und weitere innerhalb der nächsten Stunde werden nicht bearbeitet. Bitte schicken Sie sie später noch einmal.",
    ),
    no_site: say(
        "Ihre Website ist zurzeit nicht eingerichtet.",
        "Es wurde nichts geändert. Bitte wenden Sie sich an den Betreuer der Website.",
    ),
    nothing_to_stop: say(
        "Es gab nichts anzuhalten.",
        "In dieser Unterhaltung lief und wartete keine Arbeit. Antworten Sie auf diese Mail, um etwas in Auftrag zu geben.",
    ),
    done_before_stopped: say(
        "Die Arbeit war fertig, bevor sie angehalten werden konnte.",
        "Was daraus wurde, steht in der Mail dazu. Antworten Sie auf jene Mail, wenn etwas anders sein soll.",
    ),
    status_idle: say(
        "Zurzeit wird nichts bearbeitet.",
        "Antworten Sie auf diese Mail mit dem, was auf Ihrer Website geändert werden soll.",
    ),
    status_busy: say(
        "Das wird gerade für Sie bearbeitet:",
        "Zum Anhalten antworten Sie auf die Mail dazu mit dem einen Wort „stopp“.",
    ),
    running: |subject, minutes| match minutes {
        0 => format!("„{subject}“, gerade begonnen"),
        1 => format!("„{subject}“, seit einer Minute"),
        _ => format!("„{subject}“, seit {minutes} Minuten"),
    },
    waiting: |subject| format!("„{subject}“, wartet, bis es an der Reihe ist"),
    help: say(
        "So ändern Sie Ihre Website per Mail",
        "Bilder und Dokumente können Sie anhängen. Mails einer Unterhaltung bauen aufeinander auf; eine neue Mail beginnt eine neue.",
    ),
    help_orders: &[
        "Schreiben Sie mit Ihren eigenen Worten, was sich ändern soll. Die Antwort zeigt eine Vorschau.",
        "Antworten Sie auf die Antwort, um von dort aus weiterzumachen.",
    ],
    help_live: &[
        "„veröffentlichen“ stellt online, was die Vorschau zeigt.",
        "„rückgängig“ nimmt das Veröffentlichte zurück.",
    ],
    help_commands: &[
        "„stopp“ als einziges Wort hält an, was in der Unterhaltung bearbeitet wird.",
        "„status“ sagt, was gerade bearbeitet wird.",
        "„hilfe“ zeigt diese Liste.",
    ],
    which_preview: say(
        "Welche Änderung soll veröffentlicht werden?",
        "Antworten Sie mit dem einen Wort „veröffentlichen“ auf die Mail, deren Vorschau Sie meinen.",
    ),
    published: say(
        "Ihre Änderung ist online.",
        "Sie möchten die Fassung von vorher zurück? Antworten Sie mit dem einen Wort „rückgängig“.",
    ),
    replaced: say(
        "Ihre Änderung ist online, an der Stelle einer anderen.",
        "Sie möchten die Fassung von vorher zurück? Antworten Sie auf diese Mail mit dem einen Wort „rückgängig“. Sie möchten beides? Antworten Sie und sagen Sie, was fehlt.",
    ),
    replaced_what: |subject| {
        let whose =
            subject.map_or("einer anderen Unterhaltung".to_owned(), |it| format!("der Unterhaltung „{it}“"));
        format!("Was aus {whose} online war, ist nicht darin enthalten: Ihre Besucher sehen es nicht mehr.")
    },
    undone: say(
        "Ihre Besucher sehen wieder die Fassung von vorher.",
        "Das war nicht gemeint? Antworten Sie noch einmal mit dem einen Wort „rückgängig“, dann wird es zurückgenommen.",
    ),
    live_unchanged: say(
        "An der veröffentlichten Website musste nichts umgestellt werden.",
        "Wenn Sie etwas anderes erwartet haben, antworten Sie auf diese Mail und sagen Sie, was.",
    ),
    not_switched: say(
        "Die veröffentlichte Website konnte nicht umgestellt werden.",
        "Es ist nichts verloren: Die Vorschau ist, wie sie war. Antworten Sie mit demselben Wort, um es noch einmal zu versuchen.",
    ),
    not_undone: say(
        "Die veröffentlichte Website konnte nicht zurückgestellt werden.",
        "Sehen Sie sie sich in einigen Minuten an. Nur wenn sie noch die Fassung zeigt, die weg soll, antworten Sie noch einmal mit dem einen Wort „rückgängig“.",
    ),
    switching: say(
        "Die veröffentlichte Website wird umgestellt.",
        "Das hat begonnen und läuft von selbst weiter; in einigen Minuten ist es fertig. Bitte verlangen Sie es nicht noch einmal.",
    ),
    preview_changed: say(
        "Die Vorschau ist eine andere, seit Sie geschrieben haben.",
        "Es wurde nichts online gestellt. Sehen Sie sich die Vorschau an; wenn sie so ist, wie Sie es möchten, antworten Sie auf diese Mail mit dem einen Wort „veröffentlichen“.",
    ),
    never_shown: say(
        "Die Vorschau zeigt eine Arbeit, die nicht zu Ende kam.",
        "Es wurde nichts online gestellt. Antworten Sie „Zeig die Vorschau noch einmal“ oder schreiben Sie, was Sie möchten; was Ihnen dann gezeigt wird, kann online gestellt werden.",
    ),
    not_pushed: say(
        "Die Änderung ist gemacht, steht aber noch nicht in der Quelle Ihrer Website.",
        "Das war gerade nicht möglich. Ihre Änderung ist aufbewahrt und kommt mit Ihrer nächsten Mail in dieser Unterhaltung dorthin; Sie brauchen sie nicht noch einmal zu schreiben. Was Besucher sehen, ist unverändert.",
    ),
    aside: |branch| {
        format!(
            "Ein Teil der Arbeit an dieser Unterhaltung war noch nicht in der Quelle Ihrer Website, als jemand anders dort dieselben Zeilen \
             geändert hat. Nichts wurde überschrieben: In dem, was jetzt gezeigt wird, ist er nicht enthalten; er liegt auf dem Branch {branch}."
        )
    },
    live_changed: say(
        "Die veröffentlichte Website ist eine andere, seit Sie geschrieben haben.",
        "Jemand anders hat eine andere Fassung online gestellt, deshalb wurde nichts zurückgenommen. Sehen Sie sich die Website an; wenn Sie trotzdem die Fassung von vorher möchten, antworten Sie auf diese Mail mit dem einen Wort „rückgängig“.",
    ),
    confirm: Confirmation {
        mail: say(
            "Haben Sie diese Mail geschrieben?",
            "Es ist nicht sicher, dass diese Mail von Ihnen und für Ihre Website bestimmt ist; deshalb wurde noch nichts getan. Öffnen Sie den Link, um zu sehen, was getan würde, und bestätigen Sie es dort. Wenn Sie die Mail nicht geschrieben haben, müssen Sie nichts tun.",
        ),
        open: "Ansehen und bestätigen",
        page_title: "Ist diese Mail von Ihnen?",
        page_site: "Website",
        page_from: "Von",
        page_subject: "Betreff",
        page_instruction: "Was getan würde",
        page_files: "Dateien, die mitgehen",
        page_size: |bytes| size(bytes, ["KB", "MB"], ','),
        page_button: "Ja, bitte ausführen",
        page_hint: "Es geschieht nichts, bevor Sie auf den Knopf drücken. Wenn Sie diese Mail nicht geschrieben haben, schließen Sie einfach die Seite.",
        done: say("Danke.", "Sie bekommen eine Antwort per Mail. Sie können diese Seite schließen."),
        gone: say(
            "Dieser Link gilt nicht mehr.",
            "Er ist zu alt, oder ein Teil davon fehlt. Wenn Ihre Mail nicht beantwortet wurde, schicken Sie sie bitte noch einmal.",
        ),
    },
};

fn outcome(outcome: Option<JobOutcome>) -> Said {
    match outcome {
        Some(JobOutcome::Changed) => say(
            "Ihre Website wurde geändert.",
            "Zum Veröffentlichen antworten Sie mit dem einen Wort „veröffentlichen“. Stimmt etwas noch nicht? Antworten Sie einfach und schreiben Sie, was.",
        ),
        Some(JobOutcome::Answered) => say(
            "Es musste nichts geändert werden.",
            "Wenn Sie etwas anderes gemeint haben, antworten Sie auf diese Mail und schreiben Sie, was.",
        ),
        Some(JobOutcome::Question) => {
            say("Eine Frage, bevor Ihre Website geändert wird.", "Bitte antworten Sie auf diese Mail.")
        }
        Some(JobOutcome::Stopped) => say(
            "Die Arbeit wurde angehalten.",
            "Was bis dahin getan war, ist aufgehoben. Antworten Sie auf diese Mail, um dort weiterzumachen.",
        ),
        Some(JobOutcome::Interrupted) => {
            say("Ihre neuere Mail geht vor.", "Diese wird gleich danach wieder aufgenommen.")
        }
        Some(JobOutcome::BudgetExhausted) => say(
            "Das war mehr Arbeit, als ein Durchgang leisten darf.",
            "Was bis dahin getan war, ist aufgehoben. Antworten Sie auf diese Mail, um weiterzumachen, am besten mit einer Sache nach der anderen.",
        ),
        Some(JobOutcome::BuildFailed) => say(
            "Die Änderung wurde gemacht, aber die Website lässt sich damit nicht erzeugen.",
            "Was Besucher sehen, ist unverändert. Antworten Sie auf diese Mail, was anders sein soll, oder fragen Sie den Betreuer Ihrer Website.",
        ),
        Some(JobOutcome::PublishFailed) => say(
            "Die Änderung wurde gemacht, aber die Vorschau konnte nicht bereitgestellt werden.",
            "Was Besucher sehen, ist unverändert, und Ihre Änderung ist aufgehoben. Antworten Sie auf diese Mail, um es noch einmal zu versuchen.",
        ),
        Some(JobOutcome::PushConflict) => say(
            "Jemand anders hat inzwischen dieselbe Stelle geändert.",
            "Beide Fassungen sind aufgehoben. Fragen Sie den Betreuer Ihrer Website, welche bleiben soll.",
        ),
        Some(JobOutcome::Refused) => say(
            "Das konnte nicht ausgeführt werden.",
            "Ihre Website ist unverändert. Fragen Sie ihren Betreuer; er findet den Grund unter der Nummer am Ende dieser Mail.",
        ),
        Some(JobOutcome::AgentFailed) => say(
            "Die Änderung konnte nicht gemacht werden.",
            "Ihre Website ist unverändert. Antworten Sie auf diese Mail, um es noch einmal zu versuchen, vielleicht mit anderen Worten.",
        ),
        Some(JobOutcome::Failed) | None => say(
            "Bei uns ist etwas schiefgegangen.",
            "Ihre Website ist unverändert. Antworten Sie auf diese Mail, um es noch einmal zu versuchen; geschieht es wieder, fragen Sie den Betreuer Ihrer Website.",
        ),
    }
}

fn why_left_out(reason: LeftOutReason) -> &'static str {
    match reason {
        LeftOutReason::Empty => "sie ist leer",
        LeftOutReason::TooLarge => "sie ist größer als 25 MB",
        LeftOutReason::TooMany => "eine Mail darf 20 Dateien mitbringen",
        LeftOutReason::Program => "sie ist ein Programm",
        LeftOutReason::PictureKind => {
            "diese Art von Bild (HEIC, TIFF, AVIF oder Rohdaten) kann nicht verwendet werden; bitte als JPEG senden"
        }
        LeftOutReason::TooManyPixels => "sie hat zu viele Bildpunkte; bitte kleiner senden",
        LeftOutReason::OutlookPack => {
            "Outlook hat darin die Anhänge in einem eigenen Format verpackt; bitte die Mail noch einmal als HTML oder Nur-Text senden"
        }
        LeftOutReason::Unreadable => "sie ist beschädigt oder nicht lesbar",
    }
}
